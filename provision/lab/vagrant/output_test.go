package vagrant

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseReadsMachineReadableOutput(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, line string
		want       message
		text       string
	}{
		{
			"a state", "1795263973,cp1,state,running",
			message{"cp1", "state", []string{"running"}},
			"",
		},
		{
			"commas and line ends in data", `1795263973,,ui,info,one%!(VAGRANT_COMMA) two\nthree`,
			message{"", "ui", []string{"info", "one, two\nthree"}},
			"one, two",
		},
		{
			"a message about a machine", "1795263848,cp1,ui,info,==> cp1: Setting hostname...\r\n",
			message{"cp1", "ui", []string{"info", "==> cp1: Setting hostname..."}},
			"Setting hostname...",
		},
		{
			"details of virtual hardware have no text", "1795263848,w1,ui,info,==> w1:  -- Memory:            3072M",
			message{"w1", "ui", []string{"info", "==> w1:  -- Memory:            3072M"}},
			"",
		},
		{
			"a detail", "1795263848,w1,ui,detail,    w1: SSH username: vagrant",
			message{"w1", "ui", []string{"detail", "    w1: SSH username: vagrant"}},
			"SSH username: vagrant",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, ok := parse(tc.line)
			if diff := cmp.Diff(tc.want, got); diff != "" || !ok {
				t.Errorf("%t %s", ok, diff)
			}
			if text := got.text(); text != tc.text {
				t.Errorf("text %q, want %q", text, tc.text)
			}
		})
	}
	if _, ok := parse("==> not Vagrant's own"); ok {
		t.Error("a line without fields is parsed")
	}
}

func TestLinesDoNotDependOnTheWrites(t *testing.T) {
	t.Parallel()
	var got []string
	w := &lineWriter{line: func(line string) { got = append(got, strings.TrimSpace(line)) }}
	for _, part := range []string{"on", "e\ntw", "o\n\nthr", "ee"} {
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	w.flush()
	if diff := cmp.Diff([]string{"one", "two", "", "three"}, got); diff != "" {
		t.Error(diff)
	}
}
