// Package etcd runs etcd on hosts of its own, and connects the control planes to an etcd
// that does not run on them.
package etcd

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

// configFile is what kubeadm reads on a host that runs etcd.
const configFile = kubeadm.Dir + "/etcd.yaml"

// hasHosts reports whether slipway runs etcd on hosts of its own.
func hasHosts(c *config.Cluster) bool { return len(c.EtcdHosts()) > 0 }

// Authority creates the CA of etcd on the first of its hosts.
func Authority() workflow.Phase {
	return workflow.Phase{
		Name:  "etcd-ca",
		Title: "create the CA of etcd",
		Why: "Members and API servers authenticate to each other with certificates of a CA that signs nothing else: whoever can " +
			"connect to etcd owns the cluster.",
		Manual: []string{"kubeadm init phase certs etcd-ca --config " + configFile},
		On:     workflow.EtcdSeed,
		Needs:  []string{"kubelet"},
		// An interrupted reset may have left the data of a member on any host.
		NeedsAll: []string{"finish-reset"},
		Creates:  []string{"/etc/kubernetes/pki/etcd/"},
		Enabled:  hasHosts,
		Done: func(_ context.Context, s *workflow.Step) (bool, error) {
			for _, file := range kubeadm.EtcdAuthority() {
				if !s.Facts().Kubernetes.Intact(file.Path) {
					return false, nil
				}
			}
			return true, nil
		},
		Do: createAuthority,
	}
}

func createAuthority(ctx context.Context, s *workflow.Step) error {
	for _, h := range s.Hosts().EtcdHosts() {
		f := h.Facts()
		finished := f != nil && s.Planning() && f.Exists(facts.ResetMark) // finish-reset deletes the data
		if f != nil && f.Exists(facts.EtcdMember) && !finished {
			return workflow.WithHint(
				errors.New("etcd has data on "+h.Config.Name+", but no host has its CA with the key: another CA would lock out the API servers"),
				"restore /etc/kubernetes/pki/etcd/ca.crt and ca.key on a host with the role etcd")
		}
	}
	if err := removeFiles(ctx, s, authorityFiles(s.Facts())); err != nil {
		return err
	}
	if _, err := writeConfig(ctx, s); err != nil {
		return err
	}
	if err := runPhases(ctx, s, "certs etcd-ca"); err != nil || s.Planning() {
		return err
	}
	now, err := facts.Read(ctx, s)
	if err == nil {
		s.Target.SetFacts(now) // the other hosts copy the CA from the host whose facts have it
	}
	return err
}

// authorityFiles are the files of a CA that is not whole. Nothing depends on it: no member
// has data.
func authorityFiles(f *facts.Facts) []string {
	var paths []string
	for _, file := range kubeadm.EtcdAuthority() {
		for _, have := range f.Kubernetes.Files {
			if have.Path == file.Path {
				paths = append(paths, file.Path)
			}
		}
	}
	return paths
}

func removeFiles(ctx context.Context, s *workflow.Step, paths []string) error {
	if len(paths) == 0 {
		return nil
	}
	return host.Remove(ctx, s, paths...)
}

// members returns all hosts that run etcd. Another order in the inventory is no change.
func members(s *workflow.Step) ([]kubeadm.Member, error) {
	var all []kubeadm.Member
	for _, h := range s.Hosts().EtcdHosts() {
		ip, err := h.NodeIP()
		if err != nil {
			return nil, workflow.WithHint(err, "etcd starts with all of its members: make the host reachable, and rerun `slipway apply` without --hosts")
		}
		all = append(all, kubeadm.Member{Name: h.Config.Name, IP: ip})
	}
	slices.SortFunc(all, func(a, b kubeadm.Member) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// writeConfig writes the configuration of kubeadm, and reports whether it changed.
func writeConfig(ctx context.Context, s *workflow.Step) (changed bool, err error) {
	all, err := members(s)
	switch {
	case err != nil && s.Facts().Exists(facts.EtcdMember):
		return false, nil // it has been written, when all hosts could be reached
	case err != nil:
		return false, err
	}
	if err := sameCluster(ctx, s, all); err != nil {
		return false, err
	}
	ip, err := s.Target.NodeIP()
	if err != nil {
		return false, err
	}
	content, err := kubeadm.Etcd(kubeadm.Member{Name: s.Target.Config.Name, IP: ip}, all, s.Version())
	if err != nil {
		return false, err
	}
	file := host.File{Path: configFile, Content: content, Mode: 0o600}
	differ, err := s.Differs(ctx, file)
	if err != nil || len(differ) == 0 {
		return false, err
	}
	if err := discardMember(ctx, s, all); err != nil {
		return false, err
	}
	return true, s.WriteFiles(ctx, file)
}

// discardMember deletes what kubeadm has created with a configuration that changes:
// certificates for another name or address, which kubeadm would keep, and a manifest with
// other members. It precedes the configuration: the next run after a kill starts over. A
// member that has data keeps its name and address, and its certificates.
func discardMember(ctx context.Context, s *workflow.Step, all []kubeadm.Member) error {
	if s.Facts().Exists(facts.EtcdMember) || len(kubeadm.EtcdMemberFiles(s.Facts().Kubernetes)) == 0 {
		return nil
	}
	// The kubelet of the interrupted run may be starting the member.
	if _, err := s.Run(ctx, host.Script("stop.sh", templates.Script("kubeadm/stop.sh"), kubeletService, "containers")); err != nil {
		return err
	}
	if !s.Planning() {
		now, err := facts.Read(ctx, s)
		if err != nil {
			return err
		}
		s.Target.SetFacts(now)
		if err := sameCluster(ctx, s, all); err != nil {
			return err
		}
	}
	return removeFiles(ctx, s, kubeadm.EtcdMemberFiles(s.Facts().Kubernetes))
}

// sameCluster returns an error if a host has data of a member of another etcd: members that
// start with different lists of all of them reject each other.
func sameCluster(ctx context.Context, s *workflow.Step, all []kubeadm.Member) error {
	for _, h := range s.Hosts().EtcdHosts() {
		f := h.Facts()
		if f == nil || h.Unreachable() != nil || !f.Exists(facts.EtcdMember) || s.Planning() && f.Exists(facts.ResetMark) {
			continue // finish-reset deletes the data
		}
		if err := hasDataOf(ctx, s, h, all); err != nil {
			return err
		}
	}
	return nil
}

// hasDataOf returns an error if a host, which has data, is not one of these members.
func hasDataOf(ctx context.Context, s *workflow.Step, h *workflow.Host, all []kubeadm.Member) error {
	before, err := s.On(h).ReadFile(ctx, configFile)
	if errors.Is(err, fs.ErrNotExist) {
		if h != s.Target {
			return nil // its own step refuses it
		}
		return workflow.WithHint(errors.New(h.Config.Name+" has data of etcd that slipway did not create"),
			"use another host for etcd; or, if nothing needs the data any more, delete /var/lib/etcd/member")
	}
	if err != nil || strings.Contains(string(before), `"`+kubeadm.InitialCluster(all)+`"`) {
		return err
	}
	return workflow.WithHint(errors.New(h.Config.Name+" has data of an etcd with other members: the hosts of etcd, their names and their addresses cannot change"),
		"set the hosts with the role etcd, their names and their addresses back; or delete the data: slipway reset --yes")
}

// runPhases runs phases of kubeadm init with the configuration of the host.
func runPhases(ctx context.Context, s *workflow.Step, phases ...string) error {
	_, err := s.Run(ctx, host.Script("kubeadm-phases.sh", templates.Script("etcd/phases.sh"), append([]string{configFile}, phases...)...))
	return err
}
