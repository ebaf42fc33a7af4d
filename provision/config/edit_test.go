package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const edited = `# a cluster
apiVersion: slipway.io/v1alpha1
kind: Cluster
addons: # what runs on it
  # storage first
  - name: local-path
    path: /data # a disk of its own
  - name: shop
    patches:
      - kind: ConfigMap
        name: a
        patch:
          data:
            text: |
              one
              two
hosts:
  - {name: a, address: 192.0.2.1} # the only one
`

func TestAddAddonPreservesComments(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		before string
		add    Addon
		want   string
	}{
		"to a list": {edited, Addon{Name: "metallb", Addresses: []string{"192.0.2.9"}}, `# a cluster
apiVersion: slipway.io/v1alpha1
kind: Cluster
addons: # what runs on it
  # storage first
  - name: local-path
    path: /data # a disk of its own
  - name: shop
    patches:
      - kind: ConfigMap
        name: a
        patch:
          data:
            text: |
              one
              two
  - name: metallb
    addresses:
    - 192.0.2.9
hosts:
  - {name: a, address: 192.0.2.1} # the only one
`},
		"to none": {"kind: Cluster\n", Addon{Name: "traefik"}, "kind: Cluster\n\naddons:\n  - name: traefik\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := AddAddon([]byte(test.before), test.add)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDropAddonDeletesOnlyItsLines(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ before, drop, want string }{
		"the last": {edited, "shop", `# a cluster
apiVersion: slipway.io/v1alpha1
kind: Cluster
addons: # what runs on it
  # storage first
  - name: local-path
    path: /data # a disk of its own
hosts:
  - {name: a, address: 192.0.2.1} # the only one
`},
		"the only one":      {"kind: Cluster\naddons:\n  - name: traefik\n    default: true\nhosts: []\n", "traefik", "kind: Cluster\nhosts: []\n"},
		"one at the margin": {"addons:\n- name: traefik\n- name: metallb\n", "traefik", "addons:\n- name: metallb\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := DropAddon([]byte(test.before), test.drop)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRejectedEdits(t *testing.T) {
	t.Parallel()
	if _, err := AddAddon([]byte("addons: [{name: traefik}]\n"), Addon{Name: "metallb"}); err == nil {
		t.Error("a list in one line is edited")
	}
	if _, err := DropAddon([]byte(edited), "metallb"); err == nil {
		t.Error("what is not there is dropped")
	}
	if _, err := DropAddon([]byte("kind: Cluster\n"), "metallb"); err == nil {
		t.Error("what is not there is dropped")
	}
}
