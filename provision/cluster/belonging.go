package cluster

// Belonging is to which cluster a host belongs. Only a CA tells: names, addresses and
// journals may be those of a host that has moved from one cluster to another.
type Belonging int

const (
	// UnknownCluster: the host or the cluster has no CA, or it could not be read. What
	// follows depends on what would be lost, so each caller decides.
	UnknownCluster Belonging = iota
	// ThisCluster: the host has the CA of the cluster.
	ThisCluster
	// AnotherCluster: the host has the CA of another cluster.
	AnotherCluster
)

// Belongs compares the CA of a host with that of the cluster, which the seed has.
func Belongs(hosts []Host, h Host) Belonging {
	if seed := Seed(hosts); seed >= 0 {
		return compare(h, hosts[seed])
	}
	return UnknownCluster
}

// Departed is Belongs for a host that leaves. A seed that leaves as well does not tell: both
// may have joined the same other cluster.
func Departed(hosts []Host, h Host) Belonging {
	if seed := Seed(hosts); seed >= 0 && !hosts[seed].Leaving {
		return compare(h, hosts[seed])
	}
	return UnknownCluster
}

func compare(h, seed Host) Belonging {
	if h.Facts == nil || seed.Facts == nil {
		return UnknownCluster
	}
	switch have, want := h.Facts.Kubernetes.CAHash(), seed.Facts.Kubernetes.CAHash(); {
	case have == "" || want == "":
		return UnknownCluster
	case have == want:
		return ThisCluster
	}
	return AnotherCluster
}
