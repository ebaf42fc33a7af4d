package record_test

import (
	"bytes"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/host/record"
)

func TestChangesAreRecordedAndMade(t *testing.T) {
	t.Parallel()
	fake, changes := hosttest.NewFake(t, "cp"), &hosttest.Changes{}
	h := record.New(fake, changes)
	fake.ExpectQuery("uname").Returns("Linux\n")
	if res, err := h.Query(t.Context(), host.Cmd{Argv: []string{"uname"}, Sudo: true}); err != nil || string(res.Stdout) != "Linux\n" {
		t.Errorf("query: %q, %v", res.Stdout, err)
	}
	fake.ExpectRun("login", "hunter2")
	fake.ExpectRunScript("start.sh", "kubelet")
	fake.ExpectRun("ctr", "-")
	for _, cmd := range []host.Cmd{
		{Argv: []string{"login", "hunter2"}, Secret: []string{"hunter2"}, Sudo: true},
		host.Script("start.sh", []byte("exit 1"), "kubelet"),
		{Name: "import 2 images", Argv: []string{"ctr", "-"}, Stdin: bytes.NewReader([]byte("many")), Sudo: true},
	} {
		if _, err := h.Run(t.Context(), cmd); err != nil {
			t.Error(err)
		}
	}
	if err := h.WriteFiles(t.Context(), host.File{Path: "/etc/new", Mode: fs.ModeDir}, host.File{Path: "/etc/new/file"}); err != nil {
		t.Error(err)
	}
	if err := h.Upload(t.Context(), host.Blob{Path: "/bin/a", Size: 1_234_567}, host.Blob{Path: "/bin/b"}); err != nil {
		t.Error(err)
	}
	want := []string{
		"run login <secret>", "run start.sh kubelet", "run import 2 images",
		"create directory /etc/new", "write /etc/new/file",
		"upload /bin/a (1.2 MB)", "upload /bin/b (0.0 MB)",
	}
	if diff := cmp.Diff(want, changes.Lines()); diff != "" {
		t.Error(diff)
	}
	if got := strings.Join(fake.Paths(), " "); got != "/bin/a /bin/b /etc/new /etc/new/file" {
		t.Errorf("the host has %s", got)
	}
}
