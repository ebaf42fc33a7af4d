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
	"net/http"

	"slipway.io/slipway/provision/host"
)

// EtcdMember is a member of a cluster's etcd.
type EtcdMember struct {
	// ID is decimal in the gateway's answer; etcdctl takes it in hex.
	ID uint64 `json:"ID,string"`
	// Name is empty until the member has started for the first time.
	Name     string   `json:"name"`
	PeerURLs []string `json:"peerURLs"`
}

// etcdPKI is where kubeadm keeps etcd's certificates.
const etcdPKI = "/etc/kubernetes/pki/etcd/"

// maxMembers bounds etcd's answer, in bytes.
const maxMembers = 1 << 20

// EtcdMembers lists the members that the etcd of a control plane knows, through
// the host's connection and with the client certificate that kubeadm created for
// health checks. The host must be a host.Dialer.
func EtcdMembers(ctx context.Context, h host.Host) ([]EtcdMember, error) {
	dialer, ok := h.(host.Dialer)
	if !ok {
		return nil, errors.New("etcd: " + h.String() + " cannot forward connections")
	}
	config, err := etcdTLS(ctx, h)
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	transport := &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	// etcd's gRPC gateway. The member answers an empty request by itself, without
	// a quorum.
	request, err := http.NewRequestWithContext(ctx, http.MethodPost,
		"https://127.0.0.1:2379/v3/cluster/member/list", bytes.NewReader([]byte("{}")))
	if err != nil {
		return nil, err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("etcd: list members: %s", response.Status)
	}
	var list struct {
		Members []EtcdMember `json:"members"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxMembers)).Decode(&list); err != nil {
		return nil, fmt.Errorf("etcd: list members: %w", err)
	}
	return list.Members, nil
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
