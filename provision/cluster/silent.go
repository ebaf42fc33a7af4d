package cluster

import "strings"

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
	if image, tag, ok := cutLast(k.StaticPods["kube-apiserver"], ":"); ok && !strings.Contains(tag, "/") && image != "" {
		s.Version = tag
	}
	s.Fixed.CgroupDriver = k.CgroupDriver
}

// cutLast cuts s at the last separator.
func cutLast(s, separator string) (before, after string, found bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(separator):], true
}
