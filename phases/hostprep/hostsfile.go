package hostprep

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

const hostsFile = "/etc/hosts"

// node is a line of the hosts block.
type node struct{ Address, Name string }

// HostsFile keeps a block with all nodes in /etc/hosts.
func HostsFile() workflow.Phase {
	return workflow.Phase{
		Name:  "hosts-file",
		Title: "add the nodes to /etc/hosts",
		Why: "If the name of a host resolves to 127.0.1.1, as in Vagrant boxes, kubelet and etcd announce an address " +
			"that no other host can reach. The block comes first in the file, so its lines take precedence. With the load balancer " +
			"local, it also has the name of the endpoint, which is the host itself.",
		Manual: []string{"sed -i '1i NODE_IP NODE_NAME' /etc/hosts    # for each node"},
		On:     workflow.Nodes,
		Needs:  []string{"lock"},
		// The addresses of all nodes are facts.
		NeedsAll: []string{"facts"},
		Do: func(ctx context.Context, s *workflow.Step) error {
			nodes, err := nodesOf(s.Hosts())
			if err != nil {
				return err
			}
			if s.Cluster().ControlPlane.LoadBalancer.Type == config.LoadBalancerLocal {
				nodes = append(nodes, node{"127.0.0.1", s.Cluster().EndpointHost()})
			}
			block, err := templates.Render("hostprep/hosts-block.tmpl", struct {
				Cluster string
				Nodes   []node
			}{s.Cluster().Metadata.Name, nodes})
			if err != nil {
				return err
			}
			old, err := s.ReadFile(ctx, hostsFile)
			if err != nil {
				return err
			}
			_, err = host.EnsureFiles(ctx, s, host.File{Path: hostsFile, Content: withBlock(old, block)})
			return err
		},
	}
}

// nodesOf returns the addresses of the hosts. An unreachable host keeps the address
// of its Node, and has no line before it has one.
func nodesOf(hosts *workflow.Hosts) ([]node, error) {
	var nodes []node
	for _, h := range hosts.Nodes() {
		if h.Unreachable() != nil {
			if joined := hosts.State().Node(h.Config.Name); joined != nil && len(joined.Addresses) > 0 {
				nodes = append(nodes, node{joined.Addresses[0], joined.Name})
			}
			continue
		}
		addr, err := h.NodeIP()
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, node{addr.String(), h.Config.Name})
	}
	// Another order in the inventory is no change.
	slices.SortFunc(nodes, func(a, b node) int { return strings.Compare(a.Name, b.Name) })
	return nodes, nil
}

// withBlock puts the block first and removes earlier versions of it. The first
// and the last line of the block mark it. A first line without its last one does
// not start a block.
func withBlock(old, block []byte) []byte {
	lines := bytes.SplitAfter(bytes.TrimRight(block, "\n"), []byte("\n"))
	first, last := marker(lines[0]), marker(lines[len(lines)-1])
	out := bytes.Clone(block)
	rest := slices.Collect(bytes.Lines(old))
	for i := 0; i < len(rest); i++ {
		if !bytes.HasPrefix(rest[i], first) {
			out = append(out, rest[i]...)
			continue
		}
		length := slices.IndexFunc(rest[i:], func(l []byte) bool { return bytes.HasPrefix(l, last) })
		i += max(length, 0)
	}
	return out
}

// marker returns a marking line without its comment.
func marker(line []byte) []byte {
	before, _, _ := bytes.Cut(bytes.TrimRight(line, "\n"), []byte(":"))
	return before
}
