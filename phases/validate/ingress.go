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
	// ingressHost is a name that nobody has (RFC 6761), ingressPath one of
	// agnhost's.
	ingressHost = "slipway-validate.test"
	ingressPath = "/hostname"
	// ingressLife is more than any validation takes.
	ingressLife = time.Hour
)

// ingressTasks ask each node that should serve Ingresses, from outside.
func ingressTasks(ctx context.Context, r *run) []task {
	addon, class, wanted := ingressOf(r.options.Cluster)
	if !wanted {
		return skipped("the inventory has no ingress")
	}
	if r.fixture == nil {
		return skipped("there are no test pods")
	}
	trust, err := r.makeIngress(ctx, class)
	if err != nil {
		return failed(err.Error())
	}
	var tasks []task
	for _, node := range r.fixture.nodes {
		host, known := r.options.Cluster.Host(node.name)
		if !known || !addon.ControlPlanes && repels(r.options.Cluster.DefaultTaints(host)) {
			continue
		}
		for _, scheme := range []string{"http", "https"} {
			tasks = append(tasks, task{target: node.name + " " + scheme, once: func(ctx context.Context) (string, error) {
				return r.throughIngress(ctx, node, scheme, trust)
			}})
		}
	}
	return tasks
}

// ingressOf is the inventory's ingress, and the class to ask for: none if it
// shall be the default.
func ingressOf(c *config.Cluster) (addon config.Addon, class string, wanted bool) {
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

// repels says whether taints keep an ingress's pods away.
func repels(taints []config.Taint) bool {
	return slices.ContainsFunc(taints, func(t config.Taint) bool { return t.Effect != "PreferNoSchedule" })
}

// makeIngress makes the Ingress, with a certificate that only this run has.
func (r *run) makeIngress(ctx context.Context, class string) ([]byte, error) {
	certificate, key, err := kube.SelfSigned(ingressHost, ingressLife)
	if err != nil {
		return nil, err
	}
	data := r.workload("ingress")
	data.Class, data.Host, data.Path, data.Target = class, ingressHost, ingressPath, probeName
	data.Certificate = base64.StdEncoding.EncodeToString(certificate)
	data.Key = base64.StdEncoding.EncodeToString(key)
	if err := r.apply(ctx, "ingress", data); err != nil {
		return nil, err
	}
	return certificate, nil
}

// throughIngress asks for the path, which a test pod answers, and for another
// one, which none does.
func (r *run) throughIngress(ctx context.Context, node bedNode, scheme string, trust []byte) (string, error) {
	outside := r.options.Outside
	at := node.address + map[string]string{"http": ":80", "https": ":443"}[scheme]
	got, err := outside.Get(ctx, scheme+"://"+ingressHost+ingressPath, at, trust)
	if err != nil {
		return "", fmt.Errorf("from %s: %w", outside.From(), err)
	}
	by, err := r.answered(got)
	if err != nil {
		return "", fmt.Errorf("%s%s at %s: %w", ingressHost, ingressPath, at, err)
	}
	got, err = outside.Get(ctx, scheme+"://"+ingressHost+"/no-such-path", at, trust)
	if err != nil {
		return "", fmt.Errorf("from %s: %w", outside.From(), err)
	}
	if got.Status != statusNotFound {
		return "", fmt.Errorf("%s answers %d for a path that no Ingress has", at, got.Status)
	}
	verified := ""
	if scheme == "https" {
		verified = " with the Ingress's own certificate"
	}
	return fmt.Sprintf("%s answered for %s%s by %s%s, asked from %s", at, ingressHost, ingressPath, by, verified, outside.From()), nil
}
