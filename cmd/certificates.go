package cmd

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/phases/status"
	"slipway.io/slipway/provision/report"
)

// showCertificates prints the days that are left of each certificate, those of several
// hosts in one row if they are the same.
func (a *app) showCertificates(s status.Status) error {
	type key struct {
		path, renewer string
		days          int
		due           bool
	}
	hosts := map[key][]string{}
	for _, h := range s.Hosts {
		for _, c := range h.Certificates {
			k := key{c.Path, string(c.RenewedBy), c.DaysLeft, c.Due}
			hosts[k] = append(hosts[k], h.Name)
		}
	}
	if len(hosts) == 0 {
		return nil
	}
	keys := make([]key, 0, len(hosts))
	for k := range hosts {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.days, b.days), cmp.Compare(hosts[a][0], hosts[b][0]))
	})
	rows := make([]report.Row, 0, len(keys))
	for _, k := range keys {
		row := report.Row{Status: report.StatusOK, Cells: []string{k.path, fmt.Sprint(k.days), k.renewer, strings.Join(hosts[k], ", ")}}
		switch {
		case k.due && k.days < 0:
			row.Status = report.StatusFailed
		case k.due:
			row.Status = report.StatusWarning
		}
		rows = append(rows, row)
	}
	return report.Table(a.out, []string{"CERTIFICATE", "DAYS LEFT", "RENEWED BY", "HOSTS"}, rows)
}

// showWarnings prints what somebody has to do about certificates.
func (a *app) showWarnings(s status.Status) {
	for _, w := range s.Warnings {
		fmt.Fprintln(a.out, "warning: "+w)
	}
}
