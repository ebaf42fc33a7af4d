// Package certificates renews the certificates of kubeadm before they expire.
package certificates

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/cluster/staticpod"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/systemd"
	"slipway.io/slipway/provision/workflow"
)

const (
	// unitName is the unit in which kubeadm renews certificates.
	unitName       = "kubeadm-certs-renew"
	kubeadmProgram = "/usr/local/bin/kubeadm"
	// etcdConfig is what kubeadm reads on a host with the role etcd.
	etcdConfig = kubeadm.Dir + "/etcd.yaml"
)

// ControlPlanes renews the certificates of control planes that are due. Hosts do it one at
// a time. The phase can be a part of a roll: set Roll, and OneAtATime to false.
func ControlPlanes() workflow.Phase {
	return phase(workflow.Phase{
		Name:  "certificates",
		Title: "renew the certificates of kubeadm that expire soon",
		Why: "Certificates of kubeadm expire after a year, and then the API server, etcd and the components reject each other. " +
			"They are renewed once less than a sixth of their lifetime is left. What reads them only when it starts is restarted.",
		Manual: []string{
			"kubeadm certs check-expiration",
			"kubeadm certs renew all    # on one control plane after the other",
			"ctr --namespace k8s.io tasks kill ID    # of kube-controller-manager, kube-scheduler and kube-vip; kubelet starts them again",
			"openssl s_client -connect HOST:6443 </dev/null | openssl x509 -noout -enddate    # what the API server serves",
		},
		On:         workflow.ControlPlanes,
		OneAtATime: true,
		Needs:      []string{"kubeadm-init", "join-control-plane"},
		// A join needs the controller manager, which may be restarted.
		NeedsAll: []string{"join-control-plane", "join"},
	}, due)
}

// EtcdHosts does the same on the hosts with the role etcd, before control planes copy the
// client certificate from there.
func EtcdHosts() workflow.Phase {
	return phase(workflow.Phase{
		Name:  "etcd-certificates",
		Title: "renew the certificates of etcd that expire soon",
		Why: "Certificates of kubeadm expire after a year, and then the members of etcd and the API servers reject each other. They " +
			"are renewed once less than a sixth of their lifetime is left. etcd reads them at each new connection.",
		Manual: []string{
			"kubeadm certs renew etcd-server --config " + etcdConfig + "    # and etcd-peer, etcd-healthcheck-client, apiserver-etcd-client",
		},
		On:         workflow.EtcdHosts,
		OneAtATime: true,
		Needs:      []string{"etcd-host"},
		Enabled:    func(c *config.Cluster) bool { return len(c.EtcdHosts()) > 0 },
	}, due)
}

// All makes a phase renew all certificates, also those that are not due.
func All(p workflow.Phase, needs ...string) workflow.Phase {
	p.Title, p.Needs, p.NeedsAll = strings.Replace(p.Title, " that expire soon", "", 1), []string{"lock"}, needs
	return phase(p, all)
}

// Report says which certificates slipway does not renew although somebody must.
func Report() workflow.Phase {
	return workflow.Phase{
		Name:  "certificates-report",
		Title: "report the certificates that slipway does not renew",
		Why: "kubelet renews its own, and kubeadm neither renews a CA nor what a CA has signed whose key is not on the host. Somebody " +
			"must, before they expire.",
		Manual:   []string{"kubeadm certs check-expiration", "openssl x509 -noout -enddate -in /var/lib/kubelet/pki/kubelet-client-current.pem"},
		NeedsAll: []string{"facts"},
		ReadOnly: true,
		Do: func(_ context.Context, s *workflow.Step) error {
			now := time.Now()
			for _, c := range kubeadm.Certificates(s.Cluster(), s.Target.Config, s.Facts().Kubernetes) {
				switch warning := c.Warning(s.Target.Config.Name, now); {
				case c.Name != "":
				case warning != "":
					s.Note("%s", warning)
				case c.External:
					s.Note("%s on %s is not renewed: the key of its CA is not on the host", c.Path, s.Target.Config.Name)
				}
			}
			return nil
		},
	}
}

// choice says which of the certificates that kubeadm can renew are renewed.
type choice func(kubeadm.Certificate, time.Time) bool

func due(c kubeadm.Certificate, now time.Time) bool { return c.Due(now) }

func all(kubeadm.Certificate, time.Time) bool { return true }

func phase(p workflow.Phase, chosen choice) workflow.Phase {
	p.Done = func(_ context.Context, s *workflow.Step) (bool, error) {
		now := time.Now()
		return len(renewable(s, chosen, now)) == 0 && len(kubeadm.StalePods(s.Facts().Kubernetes, now)) == 0, nil
	}
	p.Do = func(ctx context.Context, s *workflow.Step) error { return renew(ctx, s, chosen) }
	return p
}

// renewable returns the chosen certificates of the host that kubeadm renews.
func renewable(s *workflow.Step, chosen choice, now time.Time) []kubeadm.Certificate {
	var found []kubeadm.Certificate
	for _, c := range kubeadm.Certificates(s.Cluster(), s.Target.Config, s.Facts().Kubernetes) {
		if c.Name != "" && chosen(c, now) {
			found = append(found, c)
		}
	}
	return found
}

// renew renews certificates, restarts what reads them only when it starts, and verifies
// what is served. If it is killed, the next run continues: a certificate that is due is
// renewed, and a process that is older than its kubeconfig is restarted.
func renew(ctx context.Context, s *workflow.Step, chosen choice) error {
	if s.Hosts().State() != nil && s.Hosts().Belongs(s.Target) == cluster.AnotherCluster {
		return workflow.WithHint(errors.New("the host belongs to another cluster"), "see `slipway status`")
	}
	now := time.Now()
	if len(renewable(s, chosen, now)) > 0 {
		// A phase before this one may have renewed some, as an upgrade does.
		if err := readAgain(ctx, s); err != nil {
			return err
		}
	}
	before, renewed := s.Facts().Kubernetes, renewable(s, chosen, now)
	if len(renewed) > 0 {
		if err := runKubeadm(ctx, s, renewed, now); err != nil {
			return err
		}
		if err := readAgain(ctx, s); err != nil {
			return err
		}
		if err := replaced(s, before, renewed); err != nil {
			return err
		}
	}
	if err := staticpod.Restart(ctx, s, restarts(before, s.Facts().Kubernetes, renewed, time.Now())...); err != nil {
		return err
	}
	if s.Planning() {
		return nil
	}
	return verify(ctx, s, renewed)
}

// runKubeadm renews certificates. kubeadm writes a key before its certificate: a pair that
// it did not complete has the old certificate, which is due.
func runKubeadm(ctx context.Context, s *workflow.Step, renewed []kubeadm.Certificate, now time.Time) error {
	for _, c := range renewed {
		argv := []string{kubeadmProgram, "certs", "renew", c.Name}
		if s.Target.Config.Has(config.RoleEtcd) {
			argv = append(argv, "--config", etcdConfig) // there is no API server to ask for it
		}
		s.Changed("renew %s: %d of %d days are left", c.Path, c.Days(now), int(c.NotAfter.Sub(c.NotBefore).Hours()/24))
		if _, err := systemd.Run(ctx, s, systemd.Unit{Name: unitName, Argv: argv, Output: s.Output(), Sync: []string{"/etc/kubernetes"}}); err != nil {
			return err
		}
	}
	return nil
}

// readAgain reads the facts of the host again. In a plan, nothing has changed.
func readAgain(ctx context.Context, s *workflow.Step) error {
	if s.Planning() {
		return nil
	}
	read, err := facts.Read(ctx, s)
	if err == nil {
		s.Target.SetFacts(read)
	}
	return err
}

// replaced returns an error if kubeadm left a certificate as it was. It does so, without an
// error, if it does not find the key of the CA.
func replaced(s *workflow.Step, before facts.Kubernetes, renewed []kubeadm.Certificate) error {
	if s.Planning() {
		return nil
	}
	for _, c := range renewed {
		was, is := before.Certificate(c.Path), s.Facts().Kubernetes.Certificate(c.Path)
		if is == nil || was != nil && was.Equal(is) {
			return workflow.WithHint(fmt.Errorf("%s is the same as before: kubeadm did not renew it", c.Path), "run `kubeadm certs renew "+c.Name+"` on the host, and see what it prints")
		}
	}
	return nil
}

// restarts returns the static pods that must be restarted: those that run with an older
// kubeconfig, and the API server if a client certificate has expired that it reads again
// only every five minutes. See kubeadm.StalePods for what reads its files by itself.
func restarts(before, after facts.Kubernetes, renewed []kubeadm.Certificate, now time.Time) []string {
	pods := kubeadm.StalePods(after, now)
	has := func(path string) bool {
		return slices.ContainsFunc(renewed, func(c kubeadm.Certificate) bool { return c.Path == path })
	}
	for _, reader := range kubeadm.KubeconfigReaders() {
		if _, runs := before.Started[reader.Pod]; runs && has(reader.Kubeconfig) && !slices.Contains(pods, reader.Pod) {
			pods = append(pods, reader.Pod)
		}
	}
	for _, c := range renewed {
		if c.Name == "apiserver-kubelet-client" && c.Expired(now) {
			pods = append([]string{staticpod.APIServer}, pods...)
		}
	}
	return pods
}
