package config

import (
	"strings"
	"testing"
)

const etcdHosts = `apiVersion: slipway.io/v1alpha1
kind: Cluster
hosts:
  - {name: etcd-1, address: 192.0.2.31, roles: [etcd]}
  - {name: etcd-2, address: 192.0.2.32, roles: [etcd]}
  - {name: etcd-3, address: 192.0.2.33, roles: [etcd]}
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
`

const existingEtcd = `apiVersion: slipway.io/v1alpha1
kind: Cluster
etcd:
  external:
    endpoints: [https://192.0.2.31:2379, https://etcd.example:2379]
    caFile: etcd/ca.crt
    certFile: /abs/client.crt
    keyFile: etcd/client.key
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
`

func TestEtcdOnHostsOfItsOwn(t *testing.T) {
	t.Parallel()
	c, err := Parse("inventory.yaml", []byte(etcdHosts+"  - {name: cp-2, address: 192.0.2.12, roles: [control-plane]}\ncontrolPlane: {endpoint: api.example}\n"))
	if err != nil {
		t.Fatal(err) // two control planes need no majority
	}
	if !c.ExternalEtcd() || len(c.EtcdHosts()) != 3 || len(c.Nodes()) != 2 || c.Nodes()[0].Name != "cp-1" {
		t.Errorf("external %t, hosts %v, nodes %v", c.ExternalEtcd(), c.EtcdHosts(), c.Nodes())
	}
	if warning := c.EvenControlPlanes(); warning != "" {
		t.Errorf("got %q", warning)
	}
}

func TestAnEtcdThatExists(t *testing.T) {
	t.Parallel()
	c, err := Parse("/inventories/a.yaml", []byte(existingEtcd))
	if err != nil {
		t.Fatal(err)
	}
	e := c.Etcd.External
	if !c.ExternalEtcd() || e.CAFile != "/inventories/etcd/ca.crt" || e.CertFile != "/abs/client.crt" || e.KeyFile != "/inventories/etcd/client.key" {
		t.Errorf("got %+v", e)
	}
}

func TestValidateRefusesEtcd(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ inventory, from, to, want string }{
		"both forms":                  {etcdHosts, "hosts:\n", "etcd: {external: {endpoints: [\"https://192.0.2.41:2379\"], caFile: a, certFile: b, keyFile: c}}\nhosts:\n", "etcd.external: etcd runs on etcd-1"},
		"another role beside it":      {etcdHosts, "[etcd]}", "[etcd, worker]}", "hosts[0].roles: a host with the role etcd is not a node"},
		"a control plane too":         {etcdHosts, "[etcd]}", "[control-plane, etcd]}", "hosts[0].roles: a host with the role etcd is not a node"},
		"an even number of members":   {etcdHosts, "  - {name: etcd-3, address: 192.0.2.33, roles: [etcd]}\n", "", "2 members of etcd tolerate no more failures than 1"},
		"a host that leaves":          {etcdHosts, "192.0.2.31, ", "192.0.2.31, state: absent, ", "hosts[0].state: a host with the role etcd cannot leave"},
		"labels":                      {etcdHosts, "192.0.2.31, ", "192.0.2.31, labels: {a: b}, ", "hosts[0].labels"},
		"taints":                      {etcdHosts, "192.0.2.31, ", "192.0.2.31, taints: [{key: a, effect: NoSchedule}], ", "hosts[0].taints"},
		"settings of kubeadm's etcd":  {etcdHosts, "hosts:\n", "kubernetes: {clusterConfiguration: {etcd: {local: {imageTag: a}}}}\nhosts:\n", "kubernetes.clusterConfiguration.etcd: etcd does not run on the control planes"},
		"kubeadm's field":             {existingEtcd, "hosts:\n", "kubernetes: {clusterConfiguration: {etcd: {external: {}}}}\nhosts:\n", "use etcd.external, or hosts with the role etcd"},
		"an endpoint without TLS":     {existingEtcd, "https://192.0.2.31:2379", "http://192.0.2.31:2379", "etcd.external.endpoints[0]: \"http://192.0.2.31:2379\" is not an https URL"},
		"an endpoint without a port":  {existingEtcd, "https://192.0.2.31:2379", "https://192.0.2.31", "is not an https URL with a host and a port"},
		"an endpoint with a path":     {existingEtcd, "https://192.0.2.31:2379", "https://192.0.2.31:2379/v3", "has more than a host and a port"},
		"an endpoint twice":           {existingEtcd, "https://etcd.example:2379", "https://192.0.2.31:2379", "duplicate endpoint"},
		"a key that is missing":       {existingEtcd, "    keyFile: etcd/client.key\n", "", "etcd.external.keyFile: required field is missing"},
		"endpoints that are missing":  {existingEtcd, "endpoints: [https://192.0.2.31:2379, https://etcd.example:2379]", "endpoints: []", "etcd.external.endpoints: required field is missing"},
		"an unknown role is reported": {etcdHosts, "[etcd]}", "[etc]}", "unknown value \"etc\""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(test.inventory, test.from) {
				t.Fatalf("no %q", test.from)
			}
			_, err := Parse("inventory.yaml", []byte(strings.Replace(test.inventory, test.from, test.to, 1)))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
