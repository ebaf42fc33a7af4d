package validate

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/workflow"
)

func TestOnlyAndSkipSelectProbes(t *testing.T) {
	t.Parallel()
	all := strings.Join(Names(), " ")
	tests := []struct {
		name       string
		only, skip []string
		want, err  string
	}{
		{"all by default", nil, nil, all, ""},
		{"all but one", nil, []string{"logs"}, strings.Replace(all, " logs", "", 1), ""},
		{"only one, with the pods it needs", []string{"dns"}, nil, "test-pods dns", ""},
		{"only one that needs no pods", []string{"nodes-ready"}, nil, "nodes-ready", ""},
		{"the pods stay while others need them", []string{"dns", "exec"}, []string{"test-pods", "exec"}, "test-pods dns", ""},
		{"unknown names", []string{"dsn"}, []string{"x"}, "", `unknown probe "dsn"; the probes are nodes-ready, `},
		{"nothing left", []string{"dns"}, []string{"dns"}, "", "the selection leaves no probe to run"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := Selection{Only: test.only, Skip: test.skip}
			if test.err != "" {
				var unusable *workflow.SelectionError
				if err := s.Validate(); !errors.As(err, &unusable) || !strings.Contains(err.Error(), test.err) {
					t.Errorf("error %v, want %q", err, test.err)
				}
				return
			}
			selected, err := s.definitions()
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, d := range selected {
				names = append(names, d.name)
			}
			if diff := cmp.Diff(test.want, strings.Join(names, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}
