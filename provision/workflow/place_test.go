package workflow

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host/facts"
)

func TestPlacesSelectHosts(t *testing.T) {
	t.Parallel()
	all := hostsOf("w1", "cp1", "cp2", "w2", "cp3")
	tests := []struct {
		name, shown string
		place       Place
		once        bool
		want        []string
	}{
		{"each host", "each host", EachHost, false, []string{"w1", "cp1", "cp2", "w2", "cp3"}},
		{"the zero value is each host", "each host", Place{}, false, []string{"w1", "cp1", "cp2", "w2", "cp3"}},
		{"control planes", "each control plane", ControlPlanes, false, []string{"cp1", "cp2", "cp3"}},
		{"the seed", "first control plane", Seed, true, []string{"cp1"}},
		{"the other control planes", "each other control plane", OtherControlPlanes, false, []string{"cp2", "cp3"}},
		{"workers", "each worker", Workers, false, []string{"w1", "w2"}},
		{"one named host", "w2", HostNamed("w2"), true, []string{"w2"}},
		{"a name that no host has", "w9", HostNamed("w9"), true, nil},
		{"hosts by a property", "each spare host", Where("each spare host", func(h *Host) bool { return h.name() == "cp3" }), false, []string{"cp3"}},
		{"localhost", "localhost", Localhost, true, []string{""}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, h := range test.place.Hosts(all) {
				got = append(got, h.name())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if test.place.String() != test.shown || test.place.Once() != test.once {
				t.Errorf("%q, once %t", test.place, test.place.Once())
			}
		})
	}
}

func TestControlPlanesRunOrAreNew(t *testing.T) {
	t.Parallel()
	all, leaving := hostsOf("cp1", "cp2", "cp3", "w1"), hostsOf("cp4", "cp5", "cp6", "cp7")
	all.Leaving = leaving.All
	ours, other := authority(t), authority(t)
	set := func(h *Host, ca facts.Certificate, existing ...facts.Path) {
		h.SetFacts(&facts.Facts{Existing: existing, Kubernetes: facts.Kubernetes{Certificates: []facts.Certificate{ca}}})
	}
	set(all.All[0], ours, facts.CAKey, facts.EtcdMember, facts.APIServerManifest)
	set(all.All[1], facts.Certificate{})
	set(all.All[3], ours, facts.APIServerManifest) // never
	set(leaving.All[0], ours, facts.APIServerManifest)
	set(leaving.All[1], ours)
	set(leaving.All[2], other, facts.APIServerManifest)
	set(leaving.All[3], facts.Certificate{}, facts.APIServerManifest) // its CA cannot be read
	for _, test := range []struct {
		place Place
		want  []string
	}{
		{RunningControlPlanes, []string{"cp1", "cp4", "cp7"}},
		{NewControlPlanes, []string{"cp2", "cp3"}}, // cp3 cannot be reached
	} {
		var got []string
		for _, h := range test.place.Hosts(all) {
			got = append(got, h.name())
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.place, diff)
		}
	}
}

// authority returns the certificate of a new CA.
func authority(t *testing.T) facts.Certificate {
	t.Helper()
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate, err := x509.CreateCertificate(nil, template, template, public, key)
	if err != nil {
		t.Fatal(err)
	}
	return facts.Certificate{Path: "/etc/kubernetes/pki/ca.crt", PEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})}
}

func TestWithoutAControlPlaneNothingRunsOnTheSeed(t *testing.T) {
	t.Parallel()
	all := hostsOf("w1")
	if got := Seed.Hosts(all); got != nil || all.Seed() != nil {
		t.Errorf("got %v, seed %v", got, all.Seed())
	}
}
