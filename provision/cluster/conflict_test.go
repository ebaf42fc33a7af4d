package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host/facts"
)

// certificates are those of certificate, by common name.
var certificates sync.Map

// certificate returns a self-signed certificate in PEM, the same one for each call
// with the same name.
func certificate(name string) []byte {
	create := sync.OnceValue(func() []byte {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			panic(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	})
	once, _ := certificates.LoadOrStore(name, create)
	return once.(func() []byte)()
}

// member, worker and blank are hosts as an installation leaves them. The clusters
// a and b differ in their CA.
func member(name, ca string) Host {
	h := worker(name, ca)
	h.ControlPlane = true
	h.Facts.Existing = append(h.Facts.Existing, facts.CAKey, facts.EtcdMember)
	return h
}

func worker(name, ca string) Host {
	return Host{Name: name, Facts: &facts.Facts{
		Existing: []facts.Path{facts.KubeletConf},
		Kubernetes: facts.Kubernetes{
			Certificates: []facts.Certificate{{Path: "/etc/kubernetes/pki/ca.crt", PEM: certificate(ca)}},
			Kubelet:      certificate("system:node:" + name),
		},
	}}
}

func blank(name string, controlPlane bool) Host {
	return Host{Name: name, ControlPlane: controlPlane, Facts: &facts.Facts{}}
}

// joining is a host whose join was interrupted.
func joining(h Host) Host {
	h.Facts.Existing = append(h.Facts.Existing, facts.JoinConfig)
	return h
}

func as(h Host, change func(*Host)) Host { change(&h); return h }

func TestSeedFollowsFromTheHosts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		hosts []Host
		want  int
	}{
		{"no hosts", nil, -1},
		{"no control plane", []Host{blank("w", false)}, -1},
		{"new hosts", []Host{blank("w", false), blank("a", true), blank("b", true)}, 1},
		{"a new first control plane", []Host{blank("a", true), member("b", "ca")}, 1},
		{"a first control plane that cannot be read", []Host{{Name: "a", ControlPlane: true}, member("b", "ca")}, 1},
		{"none that can be read", []Host{{Name: "w"}, {Name: "a", ControlPlane: true}}, 1},
		{"an interrupted init on the second", []Host{blank("a", true), as(blank("b", true), func(h *Host) { h.Facts.Existing = []facts.Path{facts.CAKey} })}, 1},
		{"a member is a better seed than an interrupted init", []Host{as(blank("a", true), func(h *Host) { h.Facts.Existing = []facts.Path{facts.CAKey} }), member("b", "ca")}, 1},
		{"an interrupted join beside the cluster", []Host{joining(member("a", "ca")), member("b", "ca")}, 1},
		{"an interrupted join beside an interrupted init", []Host{joining(member("a", "ca")), as(blank("b", true), func(h *Host) { h.Facts.Existing = []facts.Path{facts.CAKey} })}, 1},
		{"an interrupted join, alone with the data", []Host{blank("a", true), joining(member("b", "ca"))}, 1},
		{"an interrupted join with nothing but the CA", []Host{blank("a", true), joining(as(blank("b", true), func(h *Host) { h.Facts.Existing = []facts.Path{facts.CAKey} }))}, 0},
		{"a dead control plane, and an interrupted join", []Host{{Name: "a", ControlPlane: true}, joining(member("b", "ca")), member("c", "ca")}, 2},
		{"a member that was removed beside one that answers", []Host{member("a", "ca"), as(member("b", "ca"), func(h *Host) { h.Answers = true })}, 1},
		{"a member that answers and leaves beside one that does not", []Host{as(member("a", "ca"), func(h *Host) { h.Answers, h.Leaving = true, true }), member("b", "ca")}, 1},
		{"a worker with data", []Host{as(member("w", "ca"), func(h *Host) { h.ControlPlane = false }), blank("a", true)}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := Seed(test.hosts); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestConflicts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		hosts []Host
		want  map[string]string // by host, a part of the problem
	}{
		{"new hosts", []Host{blank("a", true), blank("w", false)}, nil},
		{"a cluster", []Host{member("a", "ca"), worker("w", "ca")}, nil},
		{"a new worker", []Host{member("a", "ca"), blank("w", false)}, nil},
		{"a new first control plane", []Host{blank("b", true), member("a", "ca"), worker("w", "ca")}, nil},
		{"an interrupted init", []Host{as(blank("a", true), func(h *Host) { h.Facts.Existing = []facts.Path{facts.CAKey} }), blank("w", false)}, nil},
		{"hosts that cannot be read", []Host{{Name: "a", ControlPlane: true}, worker("w", "ca")}, nil},
		{"a renamed worker", []Host{member("a", "ca"), as(worker("w", "ca"), func(h *Host) { h.Name = "new" })}, map[string]string{"new": "is node w of a cluster"}},
		{"a renamed control plane", []Host{as(member("a", "ca"), func(h *Host) { h.Name = "new" })}, map[string]string{"new": "is node a of a cluster"}},
		{
			"exchanged names",
			[]Host{member("a", "ca"), as(worker("w-1", "ca"), func(h *Host) { h.Name = "w-2" }), as(worker("w-2", "ca"), func(h *Host) { h.Name = "w-1" })},
			map[string]string{"w-2": "is node w-1", "w-1": "is node w-2"},
		},
		{"a control plane that became a worker", []Host{blank("b", true), as(member("a", "ca"), func(h *Host) { h.ControlPlane = false })}, map[string]string{"a": "no control plane of the inventory has the data"}},
		{"a worker that became a control plane", []Host{member("a", "ca"), as(worker("w", "ca"), func(h *Host) { h.ControlPlane = true })}, map[string]string{"w": "is a worker of a cluster"}},
		{"an interrupted join of a control plane", []Host{member("a", "ca"), joining(as(worker("b", "ca"), func(h *Host) { h.ControlPlane = true }))}, nil},
		{"a host of another cluster", []Host{member("a", "ca"), worker("w", "other")}, map[string]string{"w": "belongs to another cluster than a"}},
		{"two control planes of different clusters", []Host{member("a", "ca"), member("b", "other")}, map[string]string{"b": "belongs to another cluster than a"}},
		{"a control plane that was reset or reinstalled", []Host{blank("a", true), worker("w", "ca")}, map[string]string{"w": "no control plane of the inventory has the data"}},
		{"a control plane that was replaced", []Host{blank("new", true), worker("w-1", "ca"), worker("w-2", "ca")}, map[string]string{"w-1": "no control plane", "w-2": "no control plane"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := map[string]string{}
			for _, c := range Conflicts(test.hosts) {
				if c.Remedy == "" {
					t.Errorf("%s has no remedy: %s", c.Host, c.Problem)
				}
				want, ok := test.want[c.Host]
				if ok && strings.Contains(c.Problem, want) {
					got[c.Host] = want
				} else if !ok {
					got[c.Host] = c.Problem
				}
			}
			if test.want == nil {
				test.want = map[string]string{}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The first control plane may be renamed as long as an interrupted init has stored
// nothing. Afterwards, the way out depends on whether other hosts have joined.
func TestTheWayOutOfARenamedControlPlane(t *testing.T) {
	t.Parallel()
	renamed := func(data, finalized bool) Host {
		h := as(member("old", "ca"), func(h *Host) { h.Name, h.Facts.Kubernetes.Finalized = "new", finalized })
		if !data {
			h.Facts.Existing = []facts.Path{facts.KubeletConf, facts.CAKey}
		}
		return h
	}
	const reset = "slipway reset --yes --hosts new, then slipway apply"
	tests := []struct {
		name  string
		hosts []Host
		want  string // of the remedy; empty without a conflict
	}{
		{"before etcd has data", []Host{renamed(false, false), blank("w", false)}, ""},
		{"after etcd has data", []Host{renamed(true, false), blank("w", false)}, reset},
		{"a complete cluster of one node", []Host{renamed(true, true)}, reset},
		{"with a worker", []Host{renamed(true, false), worker("w", "ca")}, "slipway reset --yes --hosts old with the old name"},
		{"with a worker that was not read", []Host{renamed(false, false), {Name: "w"}}, "slipway reset --yes --hosts old with the old name"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got string
			for _, c := range Conflicts(test.hosts) {
				got += c.Remedy
			}
			if test.want == "" && got != "" || !strings.Contains(got, test.want) || test.want != "" && !strings.Contains(got, "set name: old") {
				t.Errorf("the remedy is %q", got)
			}
		})
	}
}

func leaving(h Host) Host {
	h.Leaving = true
	return h
}

// The host may be a node of another cluster that lives.
func TestNoResetIsAdvisedForAHostThatLeaves(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		hosts         []Host
		problem, want string
	}{
		{"another cluster", []Host{member("a", "ca"), leaving(member("b", "other"))}, "belongs to another cluster than a", "set state: lost"},
		{"a worker of another cluster", []Host{member("a", "ca"), leaving(worker("w", "other"))}, "belongs to another cluster than a", "correct the address"},
		{"another node of this cluster", []Host{member("a", "ca"), leaving(as(worker("w", "ca"), func(h *Host) { h.Name = "v" }))}, "its kubelet is node w", "correct the address"},
		{"a cluster that no control plane has", []Host{blank("a", true), leaving(worker("w", "ca"))}, "no control plane of the inventory has the data", "delete this host"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			found := Conflicts(test.hosts)
			if len(found) == 0 {
				t.Fatal("no conflict")
			}
			for _, c := range found[len(found)-1:] {
				if !strings.Contains(c.Problem, test.problem) || !strings.Contains(c.Remedy, test.want) || strings.Contains(c.Remedy, "reset") {
					t.Errorf("got %+v", c)
				}
			}
		})
	}
}

func TestAControlPlaneThatLeavesIsTheSeedWhileNoOtherHasTheCluster(t *testing.T) {
	t.Parallel()
	fresh := Host{Name: "cp-4", ControlPlane: true, Facts: &facts.Facts{}}
	interrupted := leaving(Host{Name: "cp-1", ControlPlane: true, Facts: &facts.Facts{Existing: []facts.Path{facts.CAKey}}})
	tests := []struct {
		name  string
		hosts []Host
		want  string
	}{
		{"a new control plane, and one that leaves", []Host{fresh, leaving(member("cp-1", "a"))}, "cp-1"},
		{"two members, of which one leaves", []Host{leaving(member("cp-1", "a")), member("cp-4", "a")}, "cp-4"},
		{"an interrupted init on one that leaves", []Host{fresh, interrupted}, "cp-4"},
		{"one that leaves without a cluster", []Host{leaving(fresh)}, ""},
	}
	for _, test := range tests {
		got := ""
		if seed := Seed(test.hosts); seed >= 0 {
			got = test.hosts[seed].Name
		}
		if got != test.want {
			t.Errorf("%s: the seed is %q, want %q", test.name, got, test.want)
		}
	}
}
