package certificates

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/cluster/staticpod"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/retry"
	"slipway.io/slipway/provision/workflow"
)

const (
	// reloadTimeout bounds the wait for a server that reads its certificate again: the API
	// server checks its files once a minute, if it was not notified.
	reloadTimeout = 90 * time.Second
	dialTimeout   = 5 * time.Second
)

// verify waits until the servers of the host serve the renewed certificates. One that does
// not is restarted.
func verify(ctx context.Context, s *workflow.Step, renewed []kubeadm.Certificate) error {
	for _, c := range renewed {
		address, pod, err := serverOf(s, c.Path)
		if err != nil {
			return err
		}
		if address == "" {
			continue
		}
		err = serves(ctx, s, c.Path, address)
		if err != nil && ctx.Err() == nil {
			s.Note("%s: restart %s", err, pod)
			if err = staticpod.Restart(ctx, s, pod); err == nil {
				err = serves(ctx, s, c.Path, address)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// serverOf returns the address of what serves with a certificate on the host, and its
// static pod; an empty one if only clients use it.
func serverOf(s *workflow.Step, path string) (address, pod string, err error) {
	ip, err := s.Target.NodeIP()
	if err != nil {
		return "", "", err
	}
	switch path {
	case "/etc/kubernetes/pki/apiserver.crt":
		return net.JoinHostPort(ip.String(), strconv.Itoa(s.Cluster().ControlPlane.BindPort)), staticpod.APIServer, nil
	case "/etc/kubernetes/pki/etcd/server.crt":
		return "127.0.0.1:2379", staticpod.Etcd, nil
	case "/etc/kubernetes/pki/etcd/peer.crt":
		return net.JoinHostPort(ip.String(), "2380"), staticpod.Etcd, nil
	}
	return "", "", nil
}

// serves waits until a server on the host serves the certificate in a file.
func serves(ctx context.Context, s *workflow.Step, path, address string) error {
	wanted := s.Facts().Kubernetes.Certificate(path)
	err := retry.Until(ctx, path, func(ctx context.Context) error {
		served, err := servedAt(ctx, s.Target.Conn, address)
		switch {
		case err != nil:
			return err
		case wanted == nil || !served.Equal(wanted):
			return fmt.Errorf("%s still serves the certificate that expires on %s", address, served.NotAfter.UTC().Format(time.DateOnly))
		}
		return nil
	}, retry.Options{
		Timeout: reloadTimeout, AttemptTimeout: dialTimeout, Pause: retry.Every(time.Second),
		Progress: func(err error) { s.Waiting(err.Error()) },
	})
	if err != nil {
		return fmt.Errorf("verify that %s is served: %w", path, err)
	}
	return nil
}

// servedAt returns the certificate that is served at an address, through the connection of
// a host. It is compared with the file, and need not be verified. etcd rejects the
// connection later, since it has no certificate of a client.
func servedAt(ctx context.Context, through host.Host, address string) (*x509.Certificate, error) {
	dialer, ok := through.(host.Dialer)
	if !ok {
		return nil, errors.New(through.String() + " cannot forward connections")
	}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	var served *x509.Certificate
	handshake := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) > 0 {
			served = state.PeerCertificates[0]
		}
		return nil
	}})
	if err := handshake.HandshakeContext(ctx); served == nil {
		if err == nil {
			err = errors.New(address + " serves no certificate")
		}
		return nil, err
	}
	return served, nil
}
