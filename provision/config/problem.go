package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Invalid reports every mistake of an inventory.
type Invalid struct {
	// File is the name of the inventory; empty for a Cluster that was not read
	// from a file.
	File string
	// Problems are in the order of the file. There is at least one.
	Problems []Problem
}

// Problem is one mistake.
type Problem struct {
	// Field is a path such as "hosts[1].address"; empty if the problem concerns
	// the file.
	Field string
	// Line and Column count from 1; 0 is unknown. A missing field has the place
	// of the section.
	Line, Column int
	// Message says what is wrong, Remedy how to fix it (may be empty).
	Message, Remedy string
}

// Error returns a line for each problem: "file:line: field: message; remedy".
func (e *Invalid) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.in(e.File)
	}
	return strings.Join(lines, "\n")
}

func (p Problem) String() string { return p.in("") }

func (p Problem) in(file string) string {
	var parts []string
	switch {
	case file != "" && p.Line > 0:
		parts = append(parts, fmt.Sprintf("%s:%d", file, p.Line))
	case file != "":
		parts = append(parts, file)
	}
	if p.Field != "" {
		parts = append(parts, p.Field)
	}
	message := p.Message
	if p.Remedy != "" {
		message += "; " + p.Remedy
	}
	return strings.Join(append(parts, message), ": ")
}

// place is a position in the file, from 1.
type place struct{ line, column int }

// invalid returns an *Invalid with the problems in the order of the file, or nil.
// It adds missing places.
func invalid(file string, problems []Problem, places map[string]place) error {
	if len(problems) == 0 {
		return nil
	}
	for i, p := range problems {
		if p.Line == 0 {
			at := nearest(p.Field, places)
			problems[i].Line, problems[i].Column = at.line, at.column
		}
	}
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(a.Line-b.Line, a.Column-b.Column)
	})
	return &Invalid{File: file, Problems: problems}
}

// nearest returns the place of the path or of its nearest parent.
func nearest(path string, places map[string]place) place {
	for {
		if at, ok := places[path]; ok || path == "" {
			return at
		}
		path = parent(path)
	}
}

// child returns the path of a field or a key. Keys with special characters are
// quoted: labels["example.com/rack"].
func child(path, key string) string {
	if !isWord(key) {
		return fmt.Sprintf("%s[%q]", path, key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func isWord(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// item returns the path of a list element.
func item(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// parent returns the path without its last part. It also splits at the dots of a
// quoted key, where no path has a place.
func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}
