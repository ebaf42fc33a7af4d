package hostprep

import (
	"bytes"
	"context"

	"slipway.io/slipway/provision/remote"
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
		Title: "name the nodes in /etc/hosts",
		Why: "A machine whose own name leads to 127.0.1.1 (as Vagrant boxes have it) gives kubelet and etcd an address " +
			"that no other machine can reach; the block stands first, so that its lines win.",
		On:    workflow.EachHost,
		Needs: []string{"lock"},
		Do: func(ctx context.Context, s *workflow.Step) error {
			var nodes []node
			for _, m := range s.Fleet().Machines {
				addr, err := m.NodeIP()
				if err != nil {
					return err
				}
				nodes = append(nodes, node{addr.String(), m.Spec.Name})
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
			_, err = s.WriteFile(ctx, remote.File{Path: hostsFile, Content: withBlock(old, block)})
			return err
		},
	}
}

// withBlock puts the block first, in the place of an earlier one. The block's
// own first and last line mark it.
func withBlock(old, block []byte) []byte {
	lines := bytes.SplitAfter(bytes.TrimRight(block, "\n"), []byte("\n"))
	first, last := marker(lines[0]), marker(lines[len(lines)-1])
	var rest bytes.Buffer
	inside := false
	for line := range bytes.Lines(old) {
		switch {
		case bytes.HasPrefix(line, first):
			inside = true
		case inside && bytes.HasPrefix(line, last):
			inside = false
		case !inside:
			rest.Write(line)
		}
	}
	return append(append([]byte{}, block...), rest.Bytes()...)
}

// marker is a marking line up to where its comment starts.
func marker(line []byte) []byte {
	before, _, _ := bytes.Cut(bytes.TrimRight(line, "\n"), []byte(":"))
	return before
}
