package workflow

import (
	"testing"

	"github.com/google/go-cmp/cmp"
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

func TestWithoutAControlPlaneNothingRunsOnTheSeed(t *testing.T) {
	t.Parallel()
	all := hostsOf("w1")
	if got := Seed.Hosts(all); got != nil || all.Seed() != nil {
		t.Errorf("got %v, seed %v", got, all.Seed())
	}
}
