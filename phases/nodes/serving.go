package nodes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow"
)

const (
	kubeletConfig = "/var/lib/kubelet/config.yaml"
	kubeletPort   = "10250"
	// servingTimeout is for a kubelet that starts, asks, and is answered.
	servingTimeout = 2 * time.Minute
	dialTimeout    = 5 * time.Second
)

// Serving has the cluster sign the certificates that kubelets serve with, where
// something verifies them.
func Serving() workflow.Phase {
	return workflow.Phase{
		Name:  "kubelet-serving",
		Title: "have the cluster sign the kubelet's serving certificate",
		Why: "metrics-server asks kubelets, and can verify them only if the cluster signed their certificates; nobody " +
			"approves such requests by themselves, since anybody who can send one could ask for any name. Run apply once a " +
			"year at least: it approves the renewals too.",
		Manual: []string{
			"sed -i '$a serverTLSBootstrap: true' /var/lib/kubelet/config.yaml && systemctl restart kubelet",
			"kubectl get csr && kubectl certificate approve CSR    # after a look at its names and addresses",
		},
		On:    workflow.EachHost,
		Needs: []string{"kubeadm-init", "join"},
		Do:    serving,
	}
}

func serving(ctx context.Context, s *workflow.Step) error {
	wanted := s.Cluster().ServerTLSBootstrap()
	if !wanted && !s.Facts().Exists(kubeletConfig) {
		return nil // a new node does not ask
	}
	if err := setBootstrap(ctx, s, wanted); err != nil {
		return err
	}
	if !wanted || s.Planning() {
		return nil
	}
	identity, err := identityOf(s)
	if err != nil {
		return err
	}
	return s.WaitFor(ctx, signed(s, identity), servingTimeout)
}

// setBootstrap brings kubelet's configuration, and the one that kubeadm keeps
// for others, to what is wanted.
func setBootstrap(ctx context.Context, s *workflow.Step, wanted bool) error {
	if s.Target == s.Hosts().Seed() {
		if err := setForAll(ctx, s, wanted); err != nil {
			return err
		}
	}
	content, err := s.ReadFile(ctx, kubeletConfig)
	if errors.Is(err, fs.ErrNotExist) && s.Planning() {
		return host.ErrPlanned
	}
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
	_, err = s.Run(ctx, host.Cmd{Argv: []string{"systemctl", "restart", service}, Sudo: true})
	return err
}

// setForAll changes the configuration that kubeadm gives to kubelets that join
// and are upgraded.
func setForAll(ctx context.Context, s *workflow.Step, wanted bool) error {
	client, err := s.Kube(ctx)
	if err != nil {
		return err
	}
	maps := client.Clientset().CoreV1().ConfigMaps("kube-system")
	has, err := maps.Get(ctx, "kubelet-config", metav1.GetOptions{})
	if err != nil {
		return err
	}
	edited, changed, err := withBootstrap([]byte(has.Data["kubelet"]), wanted)
	if err != nil || !changed {
		return err
	}
	s.Changed("set serverTLSBootstrap to %t in configmap kube-system/kubelet-config", wanted)
	if s.Planning() {
		return nil
	}
	has.Data["kubelet"] = string(edited)
	_, err = maps.Update(ctx, has, metav1.UpdateOptions{FieldManager: kube.FieldManager})
	return err
}

// withBootstrap sets serverTLSBootstrap in a KubeletConfiguration.
func withBootstrap(content []byte, wanted bool) (edited []byte, changed bool, err error) {
	var document map[string]any
	if err := yaml.Unmarshal(content, &document); err != nil {
		return nil, false, fmt.Errorf("%s: %w", kubeletConfig, err)
	}
	if has, _ := document["serverTLSBootstrap"].(bool); has == wanted {
		return content, false, nil
	}
	document["serverTLSBootstrap"] = wanted
	edited, err = yaml.Marshal(document)
	return edited, true, err
}

// identityOf is what the inventory and the facts say of the machine.
func identityOf(s *workflow.Step) (kube.ServingIdentity, error) {
	ip, err := s.Target.NodeIP()
	if err != nil {
		return kube.ServingIdentity{}, err
	}
	spec := s.Target.Config
	identity := kube.ServingIdentity{Node: spec.Name, Names: []string{spec.Name}, Addresses: []netip.Addr{ip}}
	if s.Facts().Hostname != spec.Name {
		identity.Names = append(identity.Names, s.Facts().Hostname)
	}
	return identity, nil
}

// signed: the kubelet serves with a certificate that the cluster signed for
// its address. What it asks for meanwhile is approved.
func signed(s *workflow.Step, identity kube.ServingIdentity) kube.Condition {
	return kube.Condition{Name: "kubelet serves with the cluster's certificate", Check: func(ctx context.Context, c *kube.Client) (bool, string, error) {
		approved, err := c.ApproveServing(ctx, identity)
		for _, name := range approved {
			s.Changed("approve certificate signing request %s", name)
		}
		if err != nil {
			return false, "", err
		}
		if err := verify(ctx, s, c.CA(), identity.Addresses[0]); err != nil {
			return false, err.Error(), nil
		}
		return true, "verified", nil
	}}
}

// verify shakes hands with the kubelet, through the machine's connection.
func verify(ctx context.Context, s *workflow.Step, ca []byte, address netip.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return errors.New("the kubeconfig has no authority")
	}
	dialer, ok := s.Target.Conn.(host.Dialer)
	if !ok {
		return errors.New("no connection can be made through the machine")
	}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(address.String(), kubeletPort))
	if err != nil {
		return err
	}
	defer conn.Close()
	return tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: address.String()}).HandshakeContext(ctx)
}
