package plan_test

import (
	"errors"
	"io/fs"
	"testing"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/host/plan"
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

func TestAFailedReadMayDependOnAPlannedChangeOfTheSameHost(t *testing.T) {
	t.Parallel()
	query := func(argv ...string) func(host.Host) error {
		return func(h host.Host) error {
			_, err := h.Query(t.Context(), host.Cmd{Argv: argv, Sudo: true})
			return err
		}
	}
	readFile := func(h host.Host) error {
		_, err := h.ReadFile(t.Context(), "/etc/kubernetes/admin.conf")
		return err
	}
	run := func(h host.Host) error {
		_, err := h.Run(t.Context(), host.Cmd{Argv: []string{"install"}})
		return err
	}
	write := func(files ...host.File) func(host.Host) error {
		return func(h host.Host) error { return h.WriteFiles(t.Context(), files...) }
	}
	upload := func(blobs ...host.Blob) func(host.Host) error {
		return func(h host.Host) error { return h.Upload(t.Context(), blobs...) }
	}
	nothing := func(host.Host) error { return nil }
	tests := []struct {
		name         string
		change, read func(host.Host) error
		planned      bool
	}{
		{"a program that a command installs", run, query("containerd"), true},
		{"a program that an upload installs", upload(host.Blob{Path: "/bin/x"}), query("containerd"), true},
		{"a file that a command creates", run, readFile, true},
		{"a file after another was written", write(host.File{Path: "/x"}), readFile, true},
		{"a missing program", nothing, query("containerd"), false},
		{"a missing file", nothing, readFile, false},
		{"a missing file after a write of no files", write(), readFile, false},
		{"a missing file after an upload of no files", upload(), readFile, false},
		{"an unreachable host", run, query("uname"), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fake, state := hosttest.NewFake(t, "cp"), &plan.State{}
			fake.ExpectQuery("containerd").Fails(127, "not found").AnyTimes()
			fake.ExpectQuery("uname").Error(host.ErrUnreachable).AnyTimes()
			if err := test.change(plan.New(fake, state)); err != nil {
				t.Fatal(err)
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
