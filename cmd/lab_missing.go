package cmd

import (
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/provision/localhost"
	"slipway.io/slipway/provision/report/check"
)

// requireProvider prints what to install if Vagrant or its hypervisor is missing, in
// one screen or as JSON, and returns the error of the check lab-provider. skip are the
// checks that the user skips.
func (a *app) requireProvider(facts *localhost.Facts, hypervisor string, skip []string) error {
	const name = "lab-provider"
	missing := facts.MissingProvider(hypervisor)
	if len(missing) == 0 || slices.Contains(skip, name) {
		return nil
	}
	guide := facts.InstallGuide(hypervisor)
	if a.json() {
		if err := printJSON(a.out, guide); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.err, "%s\nThen rerun the command. `slipway preflight --local` checks this computer.\n", guide.Text())
	}
	return reported{&preflight.FindingsError{Findings: []check.Finding{{
		Check: name, Severity: check.Error, Evidence: "missing: " + strings.Join(missing, ", "),
	}}}}
}
