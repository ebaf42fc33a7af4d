package cmd

import (
	"testing"

	"slipway.io/slipway/phases/validate"
)

func TestVerdictNamesWhatFailed(t *testing.T) {
	t.Parallel()
	passed := validate.Probe{Name: "dns", Target: "w1", Status: validate.Passed}
	for _, test := range []struct {
		name   string
		report validate.Report
		want   string
		code   int
	}{
		{"all passed", validate.Report{OK: true, Probes: []validate.Probe{passed}}, "", exitOK},
		{
			"two failed",
			validate.Report{Probes: []validate.Probe{
				{Name: "api", Status: validate.Failed, Error: "refused"},
				passed,
				{Name: "exec", Target: "w1", Status: validate.Failed, Error: "too late"},
			}},
			"validation failed: api: refused\nexec w1: too late", exitValidation,
		},
		{
			"all skipped",
			validate.Report{Probes: []validate.Probe{{Name: "ingress", Status: validate.Skipped}}},
			"validation failed: no probe could be run", exitValidation,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := verdict(&test.report)
			if got := exitCode(err); got != test.code {
				t.Errorf("exit code %d, want %d", got, test.code)
			}
			if err != nil && err.Error() != test.want {
				t.Errorf("%q, want %q", err, test.want)
			}
		})
	}
}
