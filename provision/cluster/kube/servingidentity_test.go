package kube

import (
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/client-go/kubernetes/fake"

	"slipway.io/slipway/provision/config"
)

// inventory has an API server with names and addresses beside those of its host.
func inventory() *config.Cluster {
	return &config.Cluster{
		Network: config.Network{ServiceSubnet: "10.96.0.0/12", DNSDomain: "cluster.local"},
		ControlPlane: config.ControlPlane{
			Endpoint: "api.example:6443", CertSANs: []string{"kubernetes.example", "192.0.2.100", "cp-1", "192.0.2.11"},
		},
		Hosts: []config.Host{
			{Name: "cp-1", Address: "192.0.2.11", Roles: []config.Role{config.RoleControlPlane}},
			{Name: "w-1", Address: "192.0.2.21"},
			{Name: "w-2", Address: "w-2.example", NodeIP: "192.0.2.22"},
		},
	}
}

func TestAServingIdentityIsTheNameAndTheAddressOfTheInventory(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		host config.Host
		// want is the address, err the reason why there is none.
		want, err, fix string
	}{
		"the address": {host: config.Host{Name: "w-1", Address: "192.0.2.21"}, want: "192.0.2.21"},
		"nodeIP":      {host: config.Host{Name: "w-1", Address: "198.51.100.21", NodeIP: "192.0.2.21"}, want: "192.0.2.21"},
		"nodeIP of a host with a name as address": {
			host: config.Host{Name: "w-1", Address: "w-1.example", NodeIP: "192.0.2.21"}, want: "192.0.2.21",
		},
		"a control plane that is the endpoint": {
			host: config.Host{Name: "cp-1", Address: "192.0.2.11", Roles: []config.Role{config.RoleControlPlane}}, want: "192.0.2.11",
		},
		"only a name as address": {
			host: config.Host{Name: "w-1", Address: "w-1.example"},
			err:  "w-1: the inventory sets no IP address: address is the name w-1.example, and nodeIP is not set",
			fix:  "set nodeIP of w-1 in the inventory",
		},
		"a worker with the address of the API server": {
			host: config.Host{Name: "w-1", Address: "192.0.2.100"}, err: "w-1: the address 192.0.2.100 belongs to the API server", fix: "set nodeIP",
		},
		"the first address of Services": {
			host: config.Host{Name: "w-1", Address: "10.96.0.1"}, err: "the address 10.96.0.1 belongs to the API server", fix: "set nodeIP",
		},
		"the address of a Service": {
			host: config.Host{Name: "w-1", Address: "10.111.255.254"}, err: "the address 10.111.255.254 belongs to a Service", fix: "set nodeIP",
		},
		"a loopback address": {
			host: config.Host{Name: "w-1", Address: "127.0.0.1"}, err: "the address 127.0.0.1 belongs to every host", fix: "set nodeIP",
		},
		"the address of another host": {
			host: config.Host{Name: "w-1", Address: "192.0.2.22"}, err: "the address 192.0.2.22 belongs to host w-2", fix: "set nodeIP",
		},
		"a host named kubernetes": {
			host: config.Host{Name: "kubernetes", Address: "192.0.2.21"}, err: "the name kubernetes belongs to the API server", fix: "another name",
		},
		"a host named localhost": {
			host: config.Host{Name: "localhost", Address: "192.0.2.21"}, err: "the name localhost belongs to every host", fix: "another name",
		},
		"a control plane named kubernetes": {
			host: config.Host{Name: "kubernetes", Address: "192.0.2.21", Roles: []config.Role{config.RoleControlPlane}},
			err:  "the name kubernetes belongs to the API server", fix: "another name",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := inventory()
			if test.host.Name == "cp-1" {
				cluster.ControlPlane.Endpoint = "192.0.2.11:6443"
			}
			got, err := ServingIdentityOf(cluster, test.host)
			if test.err == "" {
				if err != nil || got.Node != test.host.Name || got.Address != netip.MustParseAddr(test.want) {
					t.Errorf("got %s %s, %v; want %s", got.Node, got.Address, err, test.want)
				}
				return
			}
			var unclear *IdentityError
			if !errors.As(err, &unclear) || !strings.Contains(err.Error(), test.err) || !strings.Contains(unclear.Fix, test.fix) {
				t.Errorf("got %v (%+v), want %q and %q", err, unclear, test.err, test.fix)
			}
		})
	}
}

// A host may request any name and address: it controls its hostname, its addresses
// and its routes.
func TestAServingRequestForANameOrAddressOfOthersIsRefused(t *testing.T) {
	t.Parallel()
	for asked, owner := range map[string]string{
		"kubernetes":                             "the API server",
		"kubernetes.default":                     "the API server",
		"kubernetes.default.svc":                 "the API server",
		"kubernetes.default.svc.cluster.local":   "the API server",
		"Kubernetes.Default.SVC.cluster.local.":  "the API server",
		"api.example":                            "the API server",
		"kubernetes.example":                     "the API server",
		"metrics-server.kube-system.svc":         "a Service",
		"kube-dns.kube-system.svc.cluster.local": "a Service",
		"localhost":                              "every host",
		"x.localhost":                            "every host",
		"localhost.localdomain":                  "every host",
		"cp-1":                                   "the API server",
		"w-2":                                    "host w-2",
		"w-2.example":                            "host w-2",
		"192.0.2.100":                            "the API server",
		"192.0.2.11":                             "the API server",
		"192.0.2.22":                             "host w-2",
		"::ffff:192.0.2.100":                     "the API server",
		"10.96.0.1":                              "the API server",
		"10.96.0.10":                             "a Service",
		"10.111.255.255":                         "a Service",
		"127.0.0.1":                              "every host",
		"127.8.8.8":                              "every host",
		"::1":                                    "every host",
		"0.0.0.0":                                "every host",
		"the-hostname.of-the-host":               "",
		"w-1.example":                            "",
		"*.example":                              "",
		"198.51.100.21":                          "",
		"2001:db8::21":                           "",
		"10.112.0.0":                             "",
	} {
		t.Run(asked, func(t *testing.T) {
			t.Parallel()
			cluster := inventory()
			identity, err := ServingIdentityOf(cluster, cluster.Hosts[1])
			if err != nil {
				t.Fatal(err)
			}
			kind := "name"
			clientset := fake.NewClientset(asks(t, func(c *x509.CertificateRequest, _ *certificatesv1.CertificateSigningRequest) {
				if ip := net.ParseIP(asked); ip != nil {
					kind = "address"
					c.IPAddresses = append(c.IPAddresses, ip)
				} else {
					c.DNSNames = append(c.DNSNames, asked)
				}
			}))
			approved, err := (&Client{clientset: clientset}).ApproveServing(t.Context(), identity)
			want := "it asks for the " + kind + " " + strings.TrimPrefix(asked, "::ffff:")
			if owner != "" {
				want += ", which belongs to " + owner
			} else {
				want += ", but the inventory has "
			}
			if len(approved) > 0 || err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("approved %q, %v; want %q", approved, err, want)
			}
		})
	}
}
