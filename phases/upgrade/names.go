package upgrade

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/diff"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/systemd"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

const (
	namesDir  = kubeadm.Dir + "/names"
	namesFile = namesDir + "/kubeadm.yaml"
	// namesTimeout bounds the creation of a certificate.
	namesTimeout = 2 * time.Minute
)

// certificateNames returns the names and addresses that kubeadm gives the certificate of an
// API server, sorted (Kubernetes 1.36, cmd/kubeadm/app/util/pkiutil, GetAPIServerAltNames).
func certificateNames(s *workflow.Step) ([]string, error) {
	documents, err := s.Hosts().State().Documents(s.Cluster())
	if err != nil || documents == nil {
		return nil, err
	}
	document := documents.ClusterConfiguration()
	network := s.Cluster().Network
	ip, err := s.Target.NodeIP()
	if err != nil {
		return nil, err
	}
	services, err := netip.ParsePrefix(strings.Split(network.ServiceSubnet, ",")[0])
	if err != nil {
		return nil, err
	}
	names := []string{
		s.Target.Config.Name, "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + network.DNSDomain,
		services.Masked().Addr().Next().String(), ip.String(),
	}
	if endpoint, _ := document["controlPlaneEndpoint"].(string); endpoint != "" {
		if name, _, err := net.SplitHostPort(endpoint); err == nil {
			endpoint = name
		}
		names = append(names, endpoint)
	}
	server, _ := document["apiServer"].(map[string]any)
	more, _ := server["certSANs"].([]any)
	for _, name := range more {
		text := fmt.Sprint(name)
		if ip, err := netip.ParseAddr(text); err == nil {
			text = ip.String()
		}
		names = append(names, text)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// namesOf returns the names and addresses in a certificate, sorted.
func namesOf(content []byte) ([]string, error) {
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, fmt.Errorf("%s contains no certificate in PEM", kubeadm.APIServerCertificate)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kubeadm.APIServerCertificate, err)
	}
	names := slices.Clone(certificate.DNSNames)
	for _, ip := range certificate.IPAddresses {
		names = append(names, ip.String())
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// updateNames gives the API server of the host a certificate with the names of the cluster,
// if its own has others. The API server reads it again without a restart.
func updateNames(ctx context.Context, s *workflow.Step, certificate []byte) error {
	wanted, err := certificateNames(s)
	if err != nil {
		return err
	}
	have, err := namesOf(certificate)
	if err != nil {
		return err
	}
	if slices.Equal(have, wanted) {
		return nil
	}
	content, err := document(s, namesDir)
	if err != nil {
		return err
	}
	if s.Planning() {
		s.Record("replace the certificate of the API server", diff.Text(lines(have), lines(wanted)))
		return nil
	}
	script := namesDir + "/names.sh"
	if _, err := host.EnsureFiles(ctx, s,
		host.File{Path: namesFile, Content: content, Mode: 0o600},
		host.File{Path: script, Content: templates.Script("upgrade/names.sh"), Mode: 0o700},
	); err != nil {
		return err
	}
	_, err = systemd.Run(ctx, s, systemd.Unit{
		Name: "certificate-names", Argv: []string{"sh", script, kubeadmOf(s), namesFile},
		Input: systemd.InputOf(content), Sync: kubeadm.Directories(), Output: s.Output(), Timeout: namesTimeout,
	})
	if err != nil {
		return err
	}
	if _, err := s.Run(ctx, host.Cmd{Argv: []string{"rm", "-rf", namesDir}, Sudo: true}); err != nil {
		return err
	}
	current, err := s.ReadFile(ctx, kubeadm.APIServerCertificate)
	if err != nil {
		return err
	}
	if have, err = namesOf(current); err == nil && !slices.Equal(have, wanted) {
		err = fmt.Errorf("kubeadm gave the certificate of the API server the names %s, and not %s", strings.Join(have, ", "), strings.Join(wanted, ", "))
	}
	return err
}

// lines returns a text with a line for each of them.
func lines(names []string) []byte { return []byte(strings.Join(names, "\n") + "\n") }
