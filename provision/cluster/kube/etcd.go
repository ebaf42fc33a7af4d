package kube

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"slipway.io/slipway/provision/host"
)

// EtcdMember is a member of a cluster's etcd.
type EtcdMember struct {
	// ID is decimal in the gateway's answer; etcdctl takes it in hex.
	ID uint64 `json:"ID,string"`
	// Name is empty until the member has started for the first time.
	Name     string   `json:"name"`
	PeerURLs []string `json:"peerURLs"`
	// Learner: the member receives the data and does not vote yet. kubeadm adds members
	// as learners, and promotes those that have started and have the data.
	Learner bool `json:"isLearner"`
}

// Started reports whether the member has started at least once.
func (m EtcdMember) Started() bool { return m.Name != "" }

// Peer returns the peer URL that kubeadm gives the member of a node with this address.
func Peer(address netip.Addr) string {
	return "https://" + net.JoinHostPort(address.String(), "2380")
}

// etcdPKI is where kubeadm keeps etcd's certificates.
const etcdPKI = "/etc/kubernetes/pki/etcd/"

// maxMembers bounds etcd's answer, in bytes.
const maxMembers = 1 << 20

// EtcdMembers lists the members that the etcd of a control plane knows, through
// the host's connection and with the client certificate that kubeadm created for
// health checks. The host must be a host.Dialer.
func EtcdMembers(ctx context.Context, h host.Host) ([]EtcdMember, error) {
	var list struct {
		Members []EtcdMember `json:"members"`
	}
	// The member answers an empty request by itself, without a quorum.
	if err := etcdCall(ctx, h, "/v3/cluster/member/list", struct{}{}, &list); err != nil {
		return nil, fmt.Errorf("etcd: list members: %w", err)
	}
	return list.Members, nil
}

// RemoveEtcdMember removes a member through the etcd of a control plane that stays,
// with the same connection as EtcdMembers. etcd refuses if the others would have no
// quorum.
func RemoveEtcdMember(ctx context.Context, h host.Host, id uint64) error {
	request := struct {
		ID uint64 `json:"ID,string"`
	}{id}
	if err := etcdCall(ctx, h, "/v3/cluster/member/remove", request, &struct{}{}); err != nil {
		return fmt.Errorf("etcd: remove member %x: %w", id, err)
	}
	return nil
}

// etcdCall calls etcd's gRPC gateway on a host, and decodes the answer.
func etcdCall(ctx context.Context, h host.Host, path string, body, answer any) error {
	dialer, ok := h.(host.Dialer)
	if !ok {
		return errors.New(h.String() + " cannot forward connections")
	}
	config, err := etcdTLS(ctx, h)
	if err != nil {
		return err
	}
	transport := &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://127.0.0.1:2379"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	content := io.LimitReader(response.Body, maxMembers)
	if response.StatusCode != http.StatusOK {
		var refusal struct {
			Message string `json:"message"`
		}
		_ = json.NewDecoder(content).Decode(&refusal)
		return errors.New(strings.TrimSpace(response.Status + " " + refusal.Message))
	}
	return json.NewDecoder(content).Decode(answer)
}

func etcdTLS(ctx context.Context, h host.Host) (*tls.Config, error) {
	var files [3][]byte
	for i, name := range []string{"ca.crt", "healthcheck-client.crt", "healthcheck-client.key"} {
		content, err := h.ReadFile(ctx, etcdPKI+name)
		if err != nil {
			return nil, err
		}
		files[i] = content
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(files[0]) {
		return nil, errors.New(etcdPKI + "ca.crt contains no certificate")
	}
	client, err := tls.X509KeyPair(files[1], files[2])
	if err != nil {
		return nil, err
	}
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{client}, MinVersion: tls.VersionTLS12}, nil
}
