package validate

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
)

const (
	// ingressHost is in a domain that is reserved for tests (RFC 6761),
	// ingressPath is a path of agnhost.
	ingressHost = "slipway-validate.test"
	ingressPath = "/hostname"
	// certificateLifetime is longer than any validation takes.
	certificateLifetime = time.Hour
)

// ingressTasks request an Ingress from each node that serves it, from outside.
func ingressTasks(ctx context.Context, r *run) []task {
	addon, class, wanted := ingressAddon(r.cluster)
	if !wanted {
		return skipped("the inventory has no ingress addon")
	}
	certificate, err := r.createIngress(ctx, class)
	if err != nil {
		return failed(err.Error())
	}
	var tasks []task
	for _, node := range r.fixture.nodes {
		host, known := r.cluster.Host(node.name)
		if !known || !addon.ControlPlanes && repels(r.cluster.DefaultTaints(host)) {
			continue
		}
		for _, scheme := range []string{"http", "https"} {
			tasks = append(tasks, task{target: node.name + " " + scheme, try: func(ctx context.Context) (string, error) {
				return r.requestIngress(ctx, node, scheme, certificate)
			}})
		}
	}
	return tasks
}

// ingressAddon is the ingress of the inventory and its IngressClass, empty if
// that is the default one.
func ingressAddon(c *config.Cluster) (addon config.Addon, class string, wanted bool) {
	classes := map[string]string{config.AddonTraefik: "traefik", config.AddonIngressNginx: "nginx"}
	for _, a := range c.Addons {
		switch its := classes[a.Name]; {
		case its == "":
		case c.DefaultClass(a.Name):
			return a, "", true
		case !wanted:
			addon, class, wanted = a, its, true
		}
	}
	return addon, class, wanted
}

// repels reports whether taints keep the pods of an ingress away.
func repels(taints []config.Taint) bool {
	return slices.ContainsFunc(taints, func(t config.Taint) bool { return t.Effect != "PreferNoSchedule" })
}

// createIngress creates the Ingress with a certificate of this run, and returns
// that.
func (r *run) createIngress(ctx context.Context, class string) (certificate []byte, err error) {
	certificate, key, err := kube.SelfSigned(ingressHost, certificateLifetime)
	if err != nil {
		return nil, err
	}
	data := r.workload("ingress")
	data.Class, data.Host, data.Path, data.Target = class, ingressHost, ingressPath, probeName
	data.Certificate = base64.StdEncoding.EncodeToString(certificate)
	data.Key = base64.StdEncoding.EncodeToString(key)
	return certificate, r.apply(ctx, "ingress", data)
}

// requestIngress requests the path of the Ingress, which a test pod answers, and
// another one, which none does.
func (r *run) requestIngress(ctx context.Context, node testNode, scheme string, certificate []byte) (string, error) {
	at := node.address + map[string]string{"http": ":80", "https": ":443"}[scheme]
	got, err := r.http.Get(ctx, scheme+"://"+ingressHost+ingressPath, at, certificate)
	if err != nil {
		return "", fmt.Errorf("request %s from %s: %w", at, r.http.From(), err)
	}
	pod, err := r.fixture.answeredBy(got)
	if err != nil {
		return "", fmt.Errorf("%s%s at %s: %w", ingressHost, ingressPath, at, err)
	}
	got, err = r.http.Get(ctx, scheme+"://"+ingressHost+"/no-such-path", at, certificate)
	if err != nil {
		return "", fmt.Errorf("request %s from %s: %w", at, r.http.From(), err)
	}
	if got.Status != statusNotFound {
		return "", fmt.Errorf("%s answers %d instead of 404 for a path that no Ingress has", at, got.Status)
	}
	verified := ""
	if scheme == "https" {
		verified = " with the certificate of the Ingress"
	}
	return fmt.Sprintf("%s answered for %s%s by %s%s, requested from %s", at, ingressHost, ingressPath, pod, verified, r.http.From()), nil
}
