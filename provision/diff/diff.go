// Package diff shows how the text of a file or an object of the cluster changes,
// without the secrets in it.
package diff

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/diff"
	"sigs.k8s.io/yaml"
)

// The limits of a diff, for people who read many of them.
const (
	// MaxSize is the size, in bytes, up to which the lines of a text are shown.
	MaxSize = 64 << 10
	// MaxLines is the number of lines of a diff.
	MaxLines = 200
	// maxWidth is the length of a line, in bytes.
	maxWidth = 500
)

// Text returns the hunks of a unified diff of two texts; empty if they are equal.
// Text that looks like a secret is replaced. If before is nil, there was no text,
// and every line is added. Of a binary or large content it returns the sizes.
func Text(before, after []byte) string {
	switch {
	case before != nil && bytes.Equal(before, after):
		return ""
	case isBinary(before) || isBinary(after):
		return "binary content: " + sizes(before, after)
	case max(len(before), len(after)) > MaxSize:
		return "large content: " + sizes(before, after)
	}
	m := masker{}
	return m.unified(m.text(string(before)), m.text(string(after)))
}

// Hidden returns the diff of a content that is a secret as a whole.
func Hidden(before, after []byte) string {
	switch {
	case before == nil:
		return "+" + hidden
	case bytes.Equal(before, after):
		return ""
	default:
		return "-" + hidden + "\n+" + hidden
	}
}

// Objects returns the hunks of a unified diff of two objects of the cluster, as
// YAML. Values that look like secrets are replaced. If before is nil, every line
// is added.
func Objects(before, after map[string]any) (string, error) {
	m := masker{}
	var texts [2]string
	for i, object := range []map[string]any{before, after} {
		if object == nil {
			continue
		}
		text, err := yaml.Marshal(m.object(object))
		if err != nil {
			return "", fmt.Errorf("diff of an object: %w", err)
		}
		texts[i] = string(text)
	}
	return m.unified(texts[0], texts[1]), nil
}

func isBinary(content []byte) bool { return !utf8.Valid(content) || bytes.IndexByte(content, 0) >= 0 }

func sizes(before, after []byte) string {
	if before == nil {
		return fmt.Sprintf("%d bytes", len(after))
	}
	return fmt.Sprintf("%d → %d bytes", len(before), len(after))
}

// unified returns the hunks of the diff of two masked texts.
func (m masker) unified(before, after string) string {
	if before == after {
		return ""
	}
	text := string(diff.Diff("before", []byte(before), "after", []byte(after)))
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	lines = lines[min(3, len(lines)):] // the names
	if before == "" {
		lines = lines[min(1, len(lines)):] // the only hunk
	}
	more := len(lines) - MaxLines
	lines = lines[:min(len(lines), MaxLines)]
	for i, line := range lines {
		line = Unmask(line)
		if len(line) > maxWidth {
			line = strings.ToValidUTF8(line[:maxWidth], "") + "…"
		}
		lines[i] = line
	}
	if more > 0 {
		lines = append(lines, fmt.Sprintf("… %d more lines", more))
	}
	return strings.Join(lines, "\n")
}
