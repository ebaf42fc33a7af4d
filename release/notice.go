package main

import (
	_ "embed"
	"strings"
)

const noticeFileName = "NOTICE"

// ownNotice names the project, and what in it follows files of other projects.
//
//go:embed NOTICE.txt
var ownNotice string

const noticesIntro = `
Notices of modules
------------------

The Apache License requires that these notices accompany code of the modules that
the programs of slipway contain. The licenses are in THIRD_PARTY_LICENSES.
`

// notice renders NOTICE: that of slipway, and each distinct notice of a module once.
func notice(modules []module) string {
	var texts numberedTexts
	for _, m := range modules {
		for _, t := range m.notices {
			texts.number(m, t)
		}
	}
	var b strings.Builder
	b.WriteString(ownNotice + noticesIntro)
	for _, t := range texts {
		b.WriteString("\n")
		for _, user := range t.users {
			b.WriteString(user + "\n")
		}
		b.WriteString("\n")
		for line := range strings.Lines(t.content) {
			b.WriteString(strings.TrimRight("    "+line, " \n") + "\n")
		}
	}
	return b.String()
}
