package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSetHostStatePreservesTheRest(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, before, want string }{
		{
			"one line for each field",
			"kind: Cluster # mine\nhosts:\n  # the first\n  - name: cp-1 # in rack 1\n    address: 192.0.2.11\n  - name: w-1 # in rack 2\n    address: 192.0.2.21\n",
			"kind: Cluster # mine\nhosts:\n  # the first\n  - name: cp-1 # in rack 1\n    address: 192.0.2.11\n  - name: w-1 # in rack 2\n    state: absent\n    address: 192.0.2.21\n",
		},
		{
			"a list that is not indented, with the name last",
			"hosts:\n- address: 192.0.2.21\n  name: w-1\naddons: []\n",
			"hosts:\n- address: 192.0.2.21\n  name: w-1\n  state: absent\naddons: []\n",
		},
		{
			"a line for each host",
			"hosts:\n  - {name: cp-1, roles: [control-plane]}\n  - {name: w-1, address: 192.0.2.21} # old\n",
			"hosts:\n  - {name: cp-1, roles: [control-plane]}\n  - {name: w-1, state: absent, address: 192.0.2.21} # old\n",
		},
		{
			"all in one line",
			"hosts: [{name: cp-1}, {labels: {x: \"ä\"}, name: \"w-1\"}]\n",
			"hosts: [{name: cp-1}, {labels: {x: \"ä\"}, name: \"w-1\", state: absent}]\n",
		},
		{
			"a state that is there",
			"hosts:\n  - name: w-1\n    state: 'lost' # dead\n  - {name: w-2, state: lost}\n",
			"hosts:\n  - name: w-1\n    state: absent # dead\n  - {name: w-2, state: lost}\n",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := SetHostState([]byte(test.before), "w-1", StateAbsent)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Error(diff)
			}
			again, err := SetHostState(got, "w-1", StateAbsent)
			if err != nil || string(again) != string(got) {
				t.Errorf("the second time: %v\n%s", err, again)
			}
		})
	}
}

func TestSetHostStateRefusesWhatItCannotEdit(t *testing.T) {
	t.Parallel()
	if _, err := SetHostState([]byte("hosts: [{name: w-1}]\n"), "w-9", StateAbsent); err == nil || !strings.Contains(err.Error(), `host "w-9" is not in the inventory`) {
		t.Errorf("got %v", err)
	}
	for name, text := range map[string]string{
		"a host that is an alias": "x: &w {name: w-1, address: a}\nhosts: [*w]\n",
		"a name with an escape":   "hosts:\n  - {name: \"w\\x2d1\"}\n",
		"a host that is twice":    "x: &w {name: w-1}\nhosts:\n  - *w\n  - {name: w-1}\n",
	} {
		if _, err := SetHostState([]byte(text), "w-1", StateAbsent); err == nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
