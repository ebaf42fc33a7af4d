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
	"strings"
	"sync"

	"slipway.io/slipway/provision/host"
)

// The files with which etcd is called. kubeadm creates them, the CA in etcdPKI.
const (
	etcdPKI    = "/etc/kubernetes/pki/etcd/"
	etcdCA     = etcdPKI + "ca.crt"
	etcdClient = "/etc/kubernetes/pki/apiserver-etcd-client"
)

// localEtcdAddress is where a member listens on its own host.
const localEtcdAddress = "127.0.0.1:2379"

// maxAnswer bounds etcd's answer, in bytes.
const maxAnswer = 1 << 20

// etcdCaller calls the gRPC gateway of a member of etcd, and decodes the answer.
type etcdCaller func(ctx context.Context, path string, body, answer any) error

// localEtcd calls the member of a host, through the host's connection and with the
// client certificate that kubeadm created for health checks, which it reads once. The
// host must be a host.Dialer. Calls are made one after the other.
func localEtcd(h host.Host) etcdCaller {
	var config *tls.Config
	return func(ctx context.Context, path string, body, answer any) (err error) {
		if config == nil {
			if config, err = etcdTLS(ctx, h, etcdPKI+"healthcheck-client"); err != nil {
				return err
			}
		}
		return callEtcd(ctx, h, config.Clone(), localEtcdAddress, path, body, answer)
	}
}

// members lists the members that a member knows.
func (call etcdCaller) members(ctx context.Context) ([]EtcdMember, error) {
	var list struct {
		Members []EtcdMember `json:"members"`
	}
	// The member answers an empty request by itself, without a quorum.
	err := call(ctx, "/v3/cluster/member/list", struct{}{}, &list)
	return list.Members, err
}

// callEtcd calls the member at an address, through the connection of a host.
func callEtcd(ctx context.Context, through host.Host, config *tls.Config, address, path string, body, answer any) error {
	dialer, ok := through.(host.Dialer)
	if !ok {
		return errors.New(through.String() + " cannot forward connections")
	}
	transport := &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	content := io.LimitReader(response.Body, maxAnswer)
	if response.StatusCode != http.StatusOK {
		var refusal struct {
			Message string `json:"message"`
		}
		_ = json.NewDecoder(content).Decode(&refusal)
		return errors.New(strings.TrimSpace(response.Status + " " + refusal.Message))
	}
	return json.NewDecoder(content).Decode(answer)
}

// etcdTLS reads the CA of etcd on a host, and a client certificate with its key, whose
// files have the suffixes .crt and .key.
func etcdTLS(ctx context.Context, h host.Host, client string) (*tls.Config, error) {
	var files [3][]byte
	var errs [3]error
	var reading sync.WaitGroup
	for i, path := range []string{etcdCA, client + ".crt", client + ".key"} {
		reading.Go(func() { files[i], errs[i] = h.ReadFile(ctx, path) })
	}
	reading.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	config, err := etcdConfig(files[0], files[1], files[2])
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", etcdCA, client, err)
	}
	return config, nil
}

// etcdConfig is the configuration of connections to etcd.
func etcdConfig(ca, cert, key []byte) (*tls.Config, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("the CA contains no certificate")
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}
