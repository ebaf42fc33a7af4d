package validate

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// dnsReplicaTasks check that the loss of one node does not end DNS.
func dnsReplicaTasks(_ context.Context, r *run) []task {
	return []task{{target: "coredns", try: r.dnsReplicas}}
}

func (r *run) dnsReplicas(ctx context.Context) (string, error) {
	d, err := r.client.ReadDNSReplicas(ctx)
	if err != nil {
		return "", err
	}
	on := d.ReadyOn()
	seen := fmt.Sprintf("%d of %d replicas ready, on %s", d.Ready(), d.Wanted, strings.Join(on, ", "))
	switch {
	case d.Wanted == 0:
		return "", skip("the cluster has no CoreDNS")
	case len(on) == 0:
		return "", errors.New("no replica is ready")
	case len(on) > 1:
		return seen, nil
	case d.Crowded() != "":
		return "", degraded(fmt.Sprintf("%s; %s can take one: run `slipway apply`", seen, strings.Join(d.Elsewhere(), ", ")))
	case r.someOff():
		return "", degraded(seen)
	case d.Ready() < d.Wanted:
		return "", degradedError{seen} // it may start in a moment
	case len(d.Elsewhere()) > 0:
		return "", degraded(seen + "; scale deployment kube-system/coredns to 2 replicas")
	}
	return seen + "; no other node can take one", nil
}
