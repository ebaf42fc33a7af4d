package main

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/google/licensecheck"
)

// accepted are the SPDX identifiers of licenses that the programs of a release may
// contain. MPL-2.0 requires that a release names the source: see THIRD_PARTY_LICENSES.
var accepted = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0"}

// minCoverage is the part of a text, in percent, that must be a known license. The
// rest are names and remarks.
const minCoverage = 75

// scanner knows the accepted licenses only: the others take a second to load.
var scanner = sync.OnceValues(func() (*licensecheck.Scanner, error) {
	all := licensecheck.BuiltinLicenses()
	return licensecheck.NewScanner(slices.DeleteFunc(all, func(l licensecheck.License) bool {
		return l.URL != "" || !slices.Contains(accepted, l.ID)
	}))
})

// identify returns the SPDX identifiers of the licenses in a text, sorted. It fails if
// the text is not one of the accepted licenses, or several of them.
func identify(content string) ([]string, error) {
	s, err := scanner()
	if err != nil {
		return nil, fmt.Errorf("load the known licenses: %w", err)
	}
	coverage := s.Scan([]byte(content))
	var found []string
	for _, match := range coverage.Match {
		found = append(found, match.ID)
	}
	if len(found) == 0 || coverage.Percent < minCoverage {
		return nil, fmt.Errorf("only %.0f %% of the text are of accepted licenses, %v", coverage.Percent, found)
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// isPatentGrant recognizes the file in which Google grants patents beyond a license.
func isPatentGrant(t text) bool {
	return strings.HasPrefix(strings.ToUpper(path.Base(t.file)), "PATENTS")
}

// licensesOf returns the identifiers of all licenses that apply to the linked packages
// of a module.
func licensesOf(m module) ([]string, error) {
	var all []string
	for _, t := range m.texts {
		if isPatentGrant(t) {
			continue
		}
		found, err := identify(t.content)
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", m, t.file, err)
		}
		all = append(all, found...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no license", m)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}
