package preflight

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow"
)

// etcdEndpoints is the name of the check of an etcd that exists.
const etcdEndpoints = "etcd-endpoints"

// etcdProblem is why an etcd that exists cannot be used: by a control plane, or by none.
// tolerable: the API server of the host can do without.
type etcdProblem struct {
	host, evidence, fix string
	tolerable           bool
}

func externalEtcdCheck() Check {
	return Check{
		Description: check.Description{
			Name: etcdEndpoints, Title: "the control planes can use the etcd of the inventory", Kind: check.AllHosts, Severity: check.Error,
			Examines: "The files of etcd.external, and a TLS request with them from each control plane to each endpoint.",
			Why: "kubeadm init asks each endpoint. An API server that does not reach etcd does not start. In a cluster that runs, each control " +
				"plane needs one endpoint: others that do not answer are warnings.",
			Manual: []string{
				"openssl x509 -in CERT_FILE -noout -checkend 0",
				"curl --cacert CA_FILE --cert CERT_FILE --key KEY_FILE ENDPOINT/health    # on each control plane",
			},
		},
		applies: func(c *config.Cluster) string {
			if len(c.Etcd.External.Endpoints) == 0 {
				return "the inventory has no etcd.external"
			}
			return ""
		},
		run: func(cc *checkContext) []check.Finding {
			var found []check.Finding
			for _, p := range cc.etcd {
				f := check.Finding{Host: p.host, Evidence: p.evidence, Fix: p.fix}
				if p.tolerable {
					f.Severity = check.Warning
				}
				found = append(found, f)
			}
			return found
		},
	}
}

// readEtcd reads the files of an etcd that exists on localhost, and asks each of its
// endpoints from each control plane.
func (cc *checkContext) readEtcd(ctx context.Context) {
	external := cc.cluster.Etcd.External
	if len(external.Endpoints) == 0 {
		return
	}
	files, err := kubeadm.LocalEtcdFiles(cc.cluster)
	if err == nil {
		err = kubeadm.CheckEtcdFiles(files)
	}
	if err != nil {
		cc.etcd = []etcdProblem{{evidence: err.Error(), fix: "correct etcd.external.caFile, certFile and keyFile"}}
		return
	}
	cc.askEndpoints(ctx, files)
}

// askEndpoints asks each endpoint of the inventory from each control plane.
func (cc *checkContext) askEndpoints(ctx context.Context, files []host.File) {
	endpoints := cc.cluster.Etcd.External.Endpoints
	planes := slices.DeleteFunc(cc.hosts.ControlPlanes(), func(h *workflow.Host) bool { return h.Facts() == nil })
	silent := map[string]int{} // endpoints, by control plane
	var mu sync.Mutex
	var wait sync.WaitGroup
	for _, h := range planes {
		for _, endpoint := range endpoints {
			wait.Go(func() {
				if err := askEtcd(ctx, h, endpoint, files); err != nil {
					mu.Lock()
					defer mu.Unlock()
					silent[h.Config.Name]++
					cc.etcd = append(cc.etcd, etcdProblem{
						host: h.Config.Name, evidence: fmt.Sprintf("%s: %v", endpoint, err),
						fix: "check the endpoint, its certificate, and the firewall between the control planes and etcd",
					})
				}
			})
		}
	}
	wait.Wait()
	for i, p := range cc.etcd {
		cc.etcd[i].tolerable = cc.state.Answers() && silent[p.host] < len(endpoints)
	}
	slices.SortFunc(cc.etcd, func(a, b etcdProblem) int { return strings.Compare(a.host+a.evidence, b.host+b.evidence) })
}

func askEtcd(ctx context.Context, h *workflow.Host, endpoint string, files []host.File) error {
	return kube.CheckEtcd(ctx, h.Conn, endpoint, files[0].Content, files[1].Content, files[2].Content)
}

// changedEtcdAddress returns a finding if a host would run etcd at another address than the
// API servers know.
func (cc *checkContext) changedEtcdAddress(h *workflow.Host) []check.Finding {
	want, err := h.NodeIP()
	if err != nil || cc.state == nil || len(cc.state.EtcdEndpoints) == 0 {
		return nil
	}
	if slices.Contains(cc.state.EtcdEndpoints, "https://"+net.JoinHostPort(want.String(), fmt.Sprint(etcdClients))) {
		return nil
	}
	return []check.Finding{{
		Host:     h.Config.Name,
		Evidence: fmt.Sprintf("etcd would run at %s, and the API servers know %s", want, strings.Join(cc.state.EtcdEndpoints, ", ")),
		Fix:      "set nodeIP of this host to the address that it had",
	}}
}
