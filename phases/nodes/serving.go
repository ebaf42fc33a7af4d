package nodes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/diff"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/retry"
	"slipway.io/slipway/provision/workflow"
)

const (
	kubeletConfig = kubeadm.KubeletConfig
	kubeletPort   = "10250"
	// servingTimeout is for a kubelet that starts and gets its certificate.
	servingTimeout = 2 * time.Minute
	dialTimeout    = 5 * time.Second
)

// Serving lets the cluster sign the kubelets' serving certificates if something
// verifies them.
func Serving() workflow.Phase {
	return workflow.Phase{
		Name:  "kubelet-serving",
		Title: "let the cluster sign the kubelet's serving certificate",
		Why: "metrics-server can verify kubelets only if the cluster signed their certificates. Kubernetes does not approve " +
			"such requests by itself, since a node could ask for any name. Run apply at least once a year: it approves " +
			"renewals too.",
		Manual: []string{
			"sed -i '$a serverTLSBootstrap: true' /var/lib/kubelet/config.yaml && systemctl restart kubelet",
			"kubectl get csr && kubectl certificate approve CSR    # check its names and addresses first",
		},
		On:    workflow.Nodes,
		Needs: []string{"kubeadm-init", "uncordon-control-planes", "uncordon-workers", "join-control-plane", "join"},
		Do:    serving,
	}
}

func serving(ctx context.Context, s *workflow.Step) error {
	wanted := s.Cluster().ServerTLSBootstrap()
	if !wanted && !s.Facts().Exists(kubeletConfig) {
		return nil // a new kubelet signs its own
	}
	if !wanted {
		return setBootstrap(ctx, s, false)
	}
	identity, err := identityOf(s)
	if err != nil {
		return err
	}
	if err := setBootstrap(ctx, s, true); err != nil {
		return err
	}
	if s.Planning() {
		return planApproval(ctx, s, identity)
	}
	return s.WaitFor(ctx, signed(s, identity), servingTimeout)
}

// planApproval records the requests that apply would approve, without waiting for
// the kubelet to send one.
func planApproval(ctx context.Context, s *workflow.Step, identity kube.ServingIdentity) error {
	client, err := s.Kube(ctx)
	if err != nil {
		return err
	}
	const pending = "approve the serving certificate request of kubelet on %s"
	if s.Planned(kubeletConfig) { // it joins, or requests its first certificate
		s.Changed(pending, s.Target.Config.Name)
		return nil
	}
	approved, err := approve(ctx, s, client, identity)
	if err != nil || approved > 0 {
		return err
	}
	err = verify(ctx, s, client.CA(), identity.Address)
	switch {
	case err == nil:
		return nil
	case kube.ServesUnsigned(err):
		s.Changed(pending, s.Target.Config.Name)
		return nil
	case s.Planned(service):
		return fmt.Errorf("%w: %w", err, host.ErrPlanned)
	default:
		return workflow.WithHint(fmt.Errorf("verify the serving certificate of kubelet: %w", err),
			fmt.Sprintf("see `journalctl -u kubelet` on %s", s.Target.Config.Name))
	}
}

// setBootstrap sets serverTLSBootstrap in kubelet's configuration, and in the one
// that kubeadm keeps for other hosts.
func setBootstrap(ctx context.Context, s *workflow.Step, wanted bool) error {
	if s.Target == s.Hosts().Seed() {
		if err := setForAll(ctx, s, wanted); err != nil {
			return err
		}
	}
	content, err := s.ReadFile(ctx, kubeletConfig)
	if err != nil {
		return err
	}
	edited, changed, err := withBootstrap(content, wanted)
	if err != nil || !changed {
		return err
	}
	if _, err := host.EnsureFiles(ctx, s, host.File{Path: kubeletConfig, Content: edited, Mode: 0o644}); err != nil {
		return err
	}
	return kubeadm.KubeletService().Ensure(ctx, s, kubeletConfig)
}

// setForAll sets it in the configuration that kubeadm gives to kubelets that join
// or are upgraded.
func setForAll(ctx context.Context, s *workflow.Step, wanted bool) error {
	client, err := s.Kube(ctx)
	if err != nil {
		return err
	}
	maps := client.Clientset().CoreV1().ConfigMaps("kube-system")
	current, err := maps.Get(ctx, "kubelet-config", metav1.GetOptions{})
	if err != nil {
		return err
	}
	content := []byte(current.Data["kubelet"])
	edited, changed, err := withBootstrap(content, wanted)
	if err != nil || !changed {
		return err
	}
	current.Data["kubelet"] = string(edited)
	if _, err := maps.Update(ctx, current, metav1.UpdateOptions{FieldManager: kube.FieldManager}); err != nil {
		return err
	}
	s.Record(fmt.Sprintf("set serverTLSBootstrap to %t in configmap kube-system/kubelet-config", wanted), diff.Text(content, edited))
	return nil
}

// withBootstrap sets serverTLSBootstrap in a KubeletConfiguration.
func withBootstrap(content []byte, wanted bool) (edited []byte, changed bool, err error) {
	var document map[string]any
	if err := yaml.Unmarshal(content, &document); err != nil {
		return nil, false, fmt.Errorf("%s: %w", kubeletConfig, err)
	}
	if current, _ := document["serverTLSBootstrap"].(bool); current == wanted {
		return content, false, nil
	}
	document["serverTLSBootstrap"] = wanted
	edited, err = yaml.Marshal(document)
	return edited, true, err
}

// identityOf returns the identity that the inventory gives the host.
func identityOf(s *workflow.Step) (kube.ServingIdentity, error) {
	identity, err := kube.ServingIdentityOf(s.Cluster(), s.Target.Config)
	var unclear *kube.IdentityError
	if errors.As(err, &unclear) {
		err = workflow.WithHint(err, unclear.Fix)
	}
	return identity, err
}

// signed: the kubelet serves with a certificate that the cluster signed for its
// address. The check approves what the kubelet requests.
func signed(s *workflow.Step, identity kube.ServingIdentity) kube.Condition {
	return kube.Condition{Name: "kubelet serves with the cluster's certificate", Check: func(ctx context.Context, c *kube.Client) (bool, string, error) {
		if _, err := approve(ctx, s, c, identity); err != nil {
			return false, "", err
		}
		if err := verify(ctx, s, c.CA(), identity.Address); err != nil {
			return false, err.Error(), nil
		}
		return true, "verified", nil
	}}
}

// approve approves what the kubelet requests, and returns how many requests that
// were. A plan only tries it.
func approve(ctx context.Context, s *workflow.Step, c *kube.Client, identity kube.ServingIdentity) (count int, err error) {
	approved, err := c.ApproveServing(ctx, identity)
	for _, name := range approved {
		s.Changed("approve certificate signing request %s", name)
	}
	var refused *kube.RefusedRequestError
	if errors.As(err, &refused) {
		err = retry.Stop(workflow.WithHint(err, "see `kubectl describe csr "+refused.Request+"`: a request with other names may come from a compromised host"))
	}
	return len(approved), err
}

// verify does a TLS handshake with the kubelet, through the host's connection.
func verify(ctx context.Context, s *workflow.Step, ca []byte, address netip.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return errors.New("the kubeconfig has no certificate authority")
	}
	dialer, ok := s.Target.Conn.(host.Dialer)
	if !ok {
		return errors.New(s.Target.Config.Name + " cannot forward connections")
	}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(address.String(), kubeletPort))
	if err != nil {
		return err
	}
	defer conn.Close()
	return tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: address.String()}).HandshakeContext(ctx)
}
