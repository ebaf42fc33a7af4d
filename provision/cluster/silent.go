package cluster

import (
	"path"
	"strings"
)

// ReadHosts reads what hosts tell of a cluster whose API server does not answer:
// its version, and the cgroup driver. A repair must not change them.
func (s *State) ReadHosts(hosts []Host) {
	seed := Seed(hosts)
	if seed < 0 || hosts[seed].Facts == nil {
		return
	}
	k := hosts[seed].Facts.Kubernetes
	if !k.Finalized {
		return // an interrupted init, which the next one replaces
	}
	_, s.Version, _ = strings.Cut(path.Base(k.StaticPods["kube-apiserver"]), ":")
	s.Fixed.CgroupDriver = k.CgroupDriver
}
