package plan_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/host/plan"
	"slipway.io/slipway/provision/host/record"
)

func TestAPlanChangesNothing(t *testing.T) {
	t.Parallel()
	fake := hosttest.NewFake(t, "cp")
	fake.StrictFiles()
	h := plan.New(fake, &plan.State{})
	_, err := h.Run(t.Context(), host.Cmd{Argv: []string{"swapoff"}})
	if err := errors.Join(err,
		h.WriteFiles(t.Context(), host.File{Path: "/etc/new"}),
		h.Upload(t.Context(), host.Blob{Path: "/bin/new"}),
	); err != nil {
		t.Error(err)
	}
	if calls := fake.Transcript(); calls != "" {
		t.Errorf("calls of the host:\n%s", calls)
	}
}

// A read fails because of a planned change only if it needs what that change
// creates or starts, on the same host. Anything else is an error.
func TestAFailedReadDependsOnAPlannedChange(t *testing.T) {
	t.Parallel()
	query := func(cmd host.Cmd) func(host.Host) error {
		return func(h host.Host) error {
			_, err := h.Query(t.Context(), cmd)
			return err
		}
	}
	ctr := func(arg string) func(host.Host) error {
		return query(host.Cmd{Argv: []string{"/usr/local/bin/ctr", arg}, Sudo: true, Requires: []string{"containerd.service"}})
	}
	readFile := func(h host.Host) error {
		_, err := h.ReadFile(t.Context(), "/etc/kubernetes/pki/ca.crt")
		return err
	}
	run := func(starts ...string) func(host.Host) error {
		return func(h host.Host) error {
			_, err := h.Run(t.Context(), host.Cmd{Argv: []string{"change"}, Starts: starts})
			return err
		}
	}
	write := func(path string) func(host.Host) error {
		return func(h host.Host) error { return h.WriteFiles(t.Context(), host.File{Path: path}) }
	}
	upload := func(path string) func(host.Host) error {
		return func(h host.Host) error { return h.Upload(t.Context(), host.Blob{Path: path}) }
	}
	nothing := func(host.Host) error { return nil }
	program := query(host.Cmd{Argv: []string{"tool"}, Sudo: true})
	tests := []struct {
		name         string
		change, read func(host.Host) error
		creates      string
		planned      bool
	}{
		{"a program that is uploaded", upload("/usr/local/bin/ctr"), ctr("missing"), "", true},
		{"a program that is replaced and cannot be executed", upload("/usr/local/bin/ctr"), ctr("broken"), "", true},
		{"a program that is replaced and fails", upload("/usr/local/bin/ctr"), ctr("fails"), "", false},
		{"a program by its name", upload("/usr/local/bin/tool"), program, "", true},
		{"a file with the name of a program", write("/etc/default/tool"), program, "", false},
		{"another program is uploaded", upload("/usr/local/bin/runc"), ctr("missing"), "", false},
		{"a program that a phase installs", nothing, ctr("missing"), "/usr/local/bin/", true},
		{"a service that is started", run("containerd.service"), ctr("fails"), "", true},
		{"another service is started", run("kubelet.service"), ctr("fails"), "", false},
		{"any command", run(), ctr("fails"), "", false},
		{"a file that is written", write("/etc/kubernetes/pki/ca.crt"), readFile, "", true},
		{"a file that a phase creates", nothing, readFile, "/etc/kubernetes/pki/ca.crt", true},
		{"a file in a directory that a phase fills", nothing, readFile, "/etc/kubernetes/", true},
		{"a file in an empty directory that is created", write("/etc/kubernetes/pki"), readFile, "", false},
		{"a file beside the directory", nothing, readFile, "/etc/kube/", false},
		{"a file after another was written", write("/x"), readFile, "", false},
		{"a file after a command", run(), readFile, "", false},
		{"a missing program", nothing, ctr("missing"), "", false},
		{"a missing file", nothing, readFile, "", false},
		{"an unreachable host", run("containerd.service"), ctr("unreachable"), "", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fake, state := hosttest.NewFake(t, "cp"), &plan.State{}
			fake.ExpectQuery("/usr/local/bin/ctr", "missing").Fails(127, "not found").AnyTimes()
			fake.ExpectQuery("/usr/local/bin/ctr", "broken").Fails(126, "Exec format error").AnyTimes()
			fake.ExpectQuery("/usr/local/bin/ctr", "fails").Fails(1, "connection refused").AnyTimes()
			fake.ExpectQuery("/usr/local/bin/ctr", "unreachable").Error(host.ErrUnreachable).AnyTimes()
			fake.ExpectQuery("tool").Fails(127, "not found").AnyTimes()
			if err := test.change(plan.New(fake, state)); err != nil {
				t.Fatal(err)
			}
			if test.creates != "" {
				state.Add(test.creates)
			}
			// Another step of the same host shares its state.
			err := test.read(plan.New(fake, state))
			if err == nil || errors.Is(err, host.ErrPlanned) != test.planned {
				t.Errorf("got %v, planned should be %v", err, test.planned)
			}
			// Another host has a state of its own.
			if err := test.read(plan.New(fake, &plan.State{})); err == nil || errors.Is(err, host.ErrPlanned) {
				t.Errorf("another host: got %v", err)
			}
			if !host.Exited(err) && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, host.ErrUnreachable) {
				t.Errorf("%v does not wrap the failure", err)
			}
		})
	}
}

func TestAPlanShowsWhatAWriteChanges(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		have *host.File
		want host.File
		diff string
	}{
		{"a new file", nil, host.File{Content: []byte("a\n")}, "+a"},
		{"an empty new file", nil, host.File{}, ""},
		{"a new file for root only", nil, host.File{Content: []byte("a\n"), Mode: 0o600}, "mode 0600\n+a"},
		{"a new file of a user", nil, host.File{Content: []byte("a\n"), UID: 10, GID: 20}, "owner 10:20\n+a"},
		{"a changed line", &host.File{Content: []byte("a\nb\n")}, host.File{Content: []byte("a\nc\n")}, "@@ -1,2 +1,2 @@\n a\n-b\n+c"},
		{"a file that was empty", &host.File{}, host.File{Content: []byte("a\n")}, "+a"},
		{"another mode", &host.File{Content: []byte("a\n")}, host.File{Content: []byte("a\n"), Mode: 0o600}, "mode 0644 → 0600"},
		{"another owner", &host.File{UID: 1000, GID: 1000}, host.File{}, "owner 1000:1000 → 0:0"},
		{"a secret", &host.File{Content: []byte("hunter1")}, host.File{Content: []byte("hunter2"), Secret: true}, "-(sensitive value)\n+(sensitive value)"},
		{"a new secret", nil, host.File{Content: []byte("hunter2"), Mode: 0o600, Secret: true}, "mode 0600\n+(sensitive value)"},
		{"a secret whose mode changes", &host.File{Content: []byte("a")}, host.File{Content: []byte("a"), Mode: 0o600, Secret: true}, "mode 0644 → 0600"},
		{"a value that looks like a secret", nil, host.File{Content: []byte("token: hunter2\n")}, "+token: (sensitive value)"},
		{"a binary content", nil, host.File{Content: []byte{0, 1}}, "binary content: 2 bytes"},
		{"a new directory", nil, host.File{Mode: fs.ModeDir | 0o755}, ""},
		{"a new directory for root only", nil, host.File{Mode: fs.ModeDir | 0o700}, "mode 0700"},
		{"a directory with another mode", &host.File{Mode: fs.ModeDir | 0o755}, host.File{Mode: fs.ModeDir | 0o700}, "mode 0755 → 0700"},
		{"a directory instead of a file", &host.File{Mode: 0o755}, host.File{Mode: fs.ModeDir | 0o755}, "type file → directory"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fake, changes := hosttest.NewFake(t, "cp"), &hosttest.Changes{}
			fake.StrictFiles()
			if test.have != nil {
				test.have.Path = "/etc/x"
				fake.PutFile(*test.have)
			}
			test.want.Path = "/etc/x"
			if err := record.New(plan.New(fake, &plan.State{}), changes).WriteFiles(t.Context(), test.want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{test.diff}, changes.Diffs()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAPlanFailsIfItCannotReadWhatAWriteChanges(t *testing.T) {
	t.Parallel()
	fake, changes := hosttest.NewFake(t, "cp"), &hosttest.Changes{}
	fake.Put("/etc/x", "a")
	fake.ExpectRead("/etc/x").Error(host.ErrUnreachable)
	err := record.New(plan.New(fake, &plan.State{}), changes).WriteFiles(t.Context(), host.File{Path: "/etc/x"})
	if !errors.Is(err, host.ErrUnreachable) || len(changes.Lines()) > 0 {
		t.Errorf("got %v, changes %q", err, changes.Lines())
	}
}
