package main

import (
	"fmt"
	"slices"
	"strings"
)

const (
	thirdPartyFile = "THIRD_PARTY_LICENSES"
	ruler          = "--------------------------------------------------------------------------------\n"
)

const thirdPartyIntro = `Third-party licenses of slipway

The programs of a slipway release contain code of the modules below, unmodified.
Numbers in brackets refer to the texts at the end of this file. A module has
several licenses if parts of it come from elsewhere. This file covers the binaries
for Linux, macOS and Windows on amd64 and arm64, and the network probe that they
contain. It is generated: run "make licenses" to update it.

`

const sourceIntro = `
Source code

"go mod download MODULE@VERSION" downloads the source code of every module in this
list, and https://pkg.go.dev/MODULE@VERSION leads to it. That of the Go standard
library is at https://go.dev/dl. These modules contain files under the Mozilla Public
License 2.0. You can get their source code, at no charge, from:

`

// thirdPartyLicenses renders the file of this name: the modules, where to get the
// source code, and each distinct text of a license once.
func thirdPartyLicenses(modules []module) (string, error) {
	var list, sources strings.Builder
	var texts numberedTexts
	for _, m := range modules {
		ids, err := licensesOf(m)
		if err != nil {
			return "", err
		}
		var numbers []string
		for _, t := range m.texts {
			if n := fmt.Sprintf("[%d]", texts.number(m, t)); !slices.Contains(numbers, n) {
				numbers = append(numbers, n)
			}
		}
		fmt.Fprintf(&list, "%s\n    %s %s\n", m, strings.Join(ids, ", "), strings.Join(numbers, " "))
		if slices.Contains(ids, "MPL-2.0") {
			fmt.Fprintf(&sources, "%s\n    %s\n", m, sourceURL(m))
		}
	}
	return thirdPartyIntro + list.String() + sourceIntro + sources.String() + texts.String(), nil
}

// sourceURL is the address of the page that leads to the source code of a module.
func sourceURL(m module) string { return "https://pkg.go.dev/" + m.path + "@" + m.version }

// numberedTexts are distinct texts with the files that contain them. Texts that differ
// only in white space are the same.
type numberedTexts []numberedText

type numberedText struct {
	words, content string
	users          []string
}

// number adds the file of a module, and returns the number of its text.
func (n *numberedTexts) number(m module, t text) int {
	words := strings.Join(strings.Fields(t.content), " ")
	i := slices.IndexFunc(*n, func(known numberedText) bool { return known.words == words })
	if i < 0 {
		i = len(*n)
		*n = append(*n, numberedText{words: words, content: t.content})
	}
	(*n)[i].users = append((*n)[i].users, fmt.Sprintf("%s: %s", m, t.file))
	return i + 1
}

func (n numberedTexts) String() string {
	var b strings.Builder
	for i, t := range n {
		fmt.Fprintf(&b, "\n%s[%d]\n", ruler, i+1)
		for _, user := range t.users {
			fmt.Fprintf(&b, "    %s\n", user)
		}
		fmt.Fprintf(&b, "\n%s", t.content)
	}
	return b.String()
}
