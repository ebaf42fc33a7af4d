package preflight

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"slipway.io/slipway/provision/facts"
)

// maxSkew is how far a clock may be from the median of all: certificates and
// tokens made on one machine are not yet valid on another beyond that.
const maxSkew = 30 * time.Second

// version: the bundle must be of the version that the inventory asks for.
func version(l *look) []Finding {
	if l.version == l.cluster.Kubernetes.Version {
		return nil
	}
	return []Finding{{
		Evidence: fmt.Sprintf("the inventory asks for Kubernetes %s, the bundle has %s", l.cluster.Kubernetes.Version, l.version),
		Fix:      "set kubernetes.version to what the bundle has, or make a bundle of that version",
	}}
}

// controlPlanes: joining further control planes is not there yet.
func controlPlanes(l *look) []Finding {
	n := len(l.cluster.ControlPlanes())
	if n <= 1 {
		return nil
	}
	return []Finding{{
		Evidence: fmt.Sprintf("%d control planes; this version installs one", n),
		Fix:      "leave one host with the role control-plane",
	}}
}

func clockSkew(l *look) []Finding {
	var skews []time.Duration
	for _, m := range l.fleet.Machines {
		skews = append(skews, m.Facts().Skew)
	}
	slices.Sort(skews)
	median := skews[len(skews)/2]
	var found []Finding
	for _, m := range l.fleet.Machines {
		if off := m.Facts().Skew - median; off.Abs() > maxSkew {
			found = append(found, Finding{
				Host:     m.Spec.Name,
				Evidence: fmt.Sprintf("the clock is %s off the median of all machines", off.Round(time.Second)),
				Fix:      "turn time synchronisation on: timedatectl set-ntp true",
			})
		}
	}
	return found
}

// duplicates makes a check that a value is another one on each machine.
func duplicates(what, fix string, values func(*facts.Facts) []string) func(*look) []Finding {
	return func(l *look) []Finding {
		hosts := map[string][]string{}
		var order []string
		for _, m := range l.fleet.Machines {
			for _, value := range values(m.Facts()) {
				if value == "" {
					continue
				}
				if hosts[value] == nil {
					order = append(order, value)
				}
				// Bridges and VLANs share the MAC of the interface below them.
				if !slices.Contains(hosts[value], m.Spec.Name) {
					hosts[value] = append(hosts[value], m.Spec.Name)
				}
			}
		}
		var found []Finding
		for _, value := range order {
			if same := hosts[value]; len(same) > 1 {
				found = append(found, Finding{
					Evidence: fmt.Sprintf("%s have the same %s %s", strings.Join(same, " and "), what, value),
					Fix:      fix,
				})
			}
		}
		return found
	}
}
