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
		want       told
		news       string
	}{
		{
			"a state", "1795263973,cp1,state,running",
			told{"cp1", "state", []string{"running"}},
			"",
		},
		{
			"commas and line ends in data", `1795263973,,ui,info,one%!(VAGRANT_COMMA) two\nthree`,
			told{"", "ui", []string{"info", "one, two\nthree"}},
			"one, two",
		},
		{
			"news of a machine", "1795263848,cp1,ui,info,==> cp1: Setting hostname...\r\n",
			told{"cp1", "ui", []string{"info", "==> cp1: Setting hostname..."}},
			"Setting hostname...",
		},
		{
			"what a provider says of the hardware is no news", "1795263848,w1,ui,info,==> w1:  -- Memory:            3072M",
			told{"w1", "ui", []string{"info", "==> w1:  -- Memory:            3072M"}},
			"",
		},
		{
			"a detail", "1795263848,w1,ui,detail,    w1: SSH username: vagrant",
			told{"w1", "ui", []string{"detail", "    w1: SSH username: vagrant"}},
			"SSH username: vagrant",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, ok := parse(tc.line)
			if diff := cmp.Diff(tc.want, got); diff != "" || !ok {
				t.Errorf("%t %s", ok, diff)
			}
			if news := got.news(); news != tc.news {
				t.Errorf("news %q, want %q", news, tc.news)
			}
		})
	}
	if _, ok := parse("==> not Vagrant's own"); ok {
		t.Error("any line is taken for one of Vagrant's")
	}
}

func TestLinesAreCutWhereverTheWritesEnd(t *testing.T) {
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
