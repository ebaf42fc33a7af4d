package workflow

import (
	"context"
	"errors"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/host/journal"
	"slipway.io/slipway/provision/report"
)

// planOf runs a plan on one strict host, on which no file may change.
func planOf(t *testing.T) (*Run, *hosttest.Fake, *report.Recorder) {
	t.Helper()
	fake := hosttest.NewFake(t, "cp")
	fake.StrictFiles()
	hosts := hostsOf("cp")
	hosts.All[0].Conn = fake
	r, events := runOf(hosts)
	r.Plan = true
	return r, fake, events
}

// changes are the messages of the run's changes.
func changes(events *report.Recorder) []string {
	var all []string
	for _, e := range events.Events() {
		if e.Kind == report.Change {
			all = append(all, e.Message)
		}
	}
	return all
}

func TestAPlanRecordsWhatAStepChanges(t *testing.T) {
	t.Parallel()
	r, fake, events := planOf(t)
	fake.Put("/etc/same", "same")
	fake.ExpectQuery("uname", "-r").Returns("6.1\n")
	do(t, r, Phase{Name: "a", Do: func(ctx context.Context, s *Step) error {
		if res, err := s.Query(ctx, host.Cmd{Argv: []string{"uname", "-r"}, Sudo: true}); err != nil || string(res.Stdout) != "6.1\n" {
			t.Errorf("the host is not asked: %q, %v", res.Stdout, err)
		}
		for _, h := range []host.Host{s, s.WithoutJournal()} {
			if _, err := h.Run(ctx, host.Cmd{Argv: []string{"swapoff", "/dev/sda2"}}); err != nil {
				return err
			}
			for _, name := range []string{"same", "other"} {
				file := host.File{Path: "/etc/" + name, Content: []byte("same")}
				if changed, err := host.EnsureFiles(ctx, h, file); err != nil || changed != (name == "other") {
					t.Errorf("%s: changed %v, %v", file.Path, changed, err)
				}
			}
		}
		return nil
	}})
	want := []string{"run swapoff /dev/sda2", "write /etc/other", "run swapoff /dev/sda2", "write /etc/other"}
	if diff := cmp.Diff(want, changes(events)); diff != "" {
		t.Error(diff)
	}
	for _, e := range events.Events() {
		if e.Run != "plan" {
			t.Errorf("%+v is of no plan", e)
		}
	}
}

// emptySum is the SHA-256 checksum of an empty file.
const emptySum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestAnApplyJournalsWhatAStepChanges(t *testing.T) {
	t.Parallel()
	r, fake, events := planOf(t)
	r.Plan = false
	fake.ExpectRunScript("journal/files.sh", journal.Dir, "a", "file", "/etc/new", emptySum)
	fake.ExpectWrite("/etc/new")
	fake.ExpectRun("undo")
	do(t, r, Phase{Name: "a", Do: func(ctx context.Context, s *Step) error {
		if _, err := host.EnsureFiles(ctx, s, host.File{Path: "/etc/new"}); err != nil {
			return err
		}
		_, err := s.WithoutJournal().Run(ctx, host.Cmd{Argv: []string{"undo"}, Sudo: true})
		return err
	}})
	if diff := cmp.Diff([]string{"write /etc/new", "run undo"}, changes(events)); diff != "" {
		t.Error(diff)
	}
}

// What a plan cannot see, since a change that it recorded would make it, counts
// as a change itself. Any other failure is an error.
func TestAPlanGoesAsFarAsItCanSee(t *testing.T) {
	t.Parallel()
	query := func(ctx context.Context, s *Step) error {
		_, err := s.Query(ctx, host.Cmd{Argv: []string{"containerd", "config", "dump"}, Sudo: true})
		return err
	}
	read := func(ctx context.Context, s *Step) error {
		_, err := s.ReadFile(ctx, "/etc/kubernetes/admin.conf")
		return err
	}
	install := func(ctx context.Context, s *Step) error {
		return s.Upload(ctx, host.Blob{Path: "/usr/local/bin/containerd"})
	}
	write := func(ctx context.Context, s *Step) error {
		return s.WriteFiles(ctx, host.File{Path: "/etc/kubernetes/admin.conf"})
	}
	other := func(ctx context.Context, s *Step) error {
		_, err := s.Run(ctx, host.Cmd{Argv: []string{"swapoff"}})
		return err
	}
	unreachable := func(ctx context.Context, s *Step) error {
		_, err := s.Query(ctx, host.Cmd{Argv: []string{"uname"}, Sudo: true})
		return err
	}
	tests := []struct {
		name  string
		steps []func(context.Context, *Step) error
		want  []string
		err   error
	}{
		{"a command that would be there", []func(context.Context, *Step) error{install, query}, []string{"upload /usr/local/bin/containerd (0.0 MB)", "set it up"}, nil},
		{"a file that would be there", []func(context.Context, *Step) error{write, read}, []string{"write /etc/kubernetes/admin.conf", "set it up"}, nil},
		{"a command after another change", []func(context.Context, *Step) error{other, query}, []string{"run swapoff"}, &host.ExitError{}},
		{"a file after another change", []func(context.Context, *Step) error{other, read}, []string{"run swapoff"}, fs.ErrNotExist},
		{"a command that is not there", []func(context.Context, *Step) error{query}, nil, &host.ExitError{}},
		{"a file that is not there", []func(context.Context, *Step) error{read}, nil, fs.ErrNotExist},
		{"an unreachable host", []func(context.Context, *Step) error{other, unreachable}, []string{"run swapoff"}, host.ErrUnreachable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r, fake, events := planOf(t)
			fake.ExpectQuery("containerd", "config", "dump").Fails(127, "not found").AnyTimes()
			fake.ExpectQuery("uname").Error(host.ErrUnreachable).AnyTimes()
			err := r.Do(t.Context(), Workflow{Name: "apply", Phases: []Phase{{Name: "a", Title: "set it up", Do: func(ctx context.Context, s *Step) error {
				for _, step := range test.steps {
					if err := step(ctx, s); err != nil {
						return err
					}
				}
				return nil
			}}}})
			var exit *host.ExitError
			_, wantExit := test.err.(*host.ExitError)
			if wantExit != errors.As(err, &exit) || !wantExit && !errors.Is(err, test.err) {
				t.Errorf("got %v, want %v", err, test.err)
			}
			if diff := cmp.Diff(test.want, changes(events)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAPlanRunsAPhaseThatItCannotProbe(t *testing.T) {
	t.Parallel()
	r, _, events := planOf(t)
	do(t, r,
		Phase{Name: "a", Title: "install it", Creates: []string{"/installed"}, Do: func(ctx context.Context, s *Step) error {
			_, err := s.Run(ctx, host.Cmd{Argv: []string{"install"}})
			return err
		}},
		Phase{
			Name: "b", Title: "use it", Needs: []string{"a"},
			Done: func(ctx context.Context, s *Step) (bool, error) {
				_, err := s.ReadFile(ctx, "/installed")
				return err == nil, err
			},
			Do: func(ctx context.Context, s *Step) error {
				_, err := s.Run(ctx, host.Cmd{Argv: []string{"use"}})
				return err
			},
		})
	if diff := cmp.Diff([]string{"run install", "run use"}, changes(events)); diff != "" {
		t.Error(diff)
	}
}

// A phase that has nothing to do creates nothing.
func TestAPlanOfAPhaseWithoutChangesExplainsNothing(t *testing.T) {
	t.Parallel()
	r, _, _ := planOf(t)
	err := r.Do(t.Context(), Workflow{Name: "apply", Phases: []Phase{
		{Name: "a", Creates: []string{"/installed"}, Do: func(context.Context, *Step) error { return nil }},
		{Name: "b", Needs: []string{"a"}, Do: func(ctx context.Context, s *Step) error {
			if s.Planned("/installed") {
				t.Error("the file is planned")
			}
			_, err := s.ReadFile(ctx, "/installed")
			return err
		}},
	}})
	if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, host.ErrPlanned) {
		t.Errorf("got %v, want a file that does not exist", err)
	}
}

// A phase that a plan reports as a whole creates its files as well.
func TestAPhaseThatIsPlannedAsAWholeCreatesItsFiles(t *testing.T) {
	t.Parallel()
	r, _, events := planOf(t)
	do(t, r,
		Phase{Name: "a", Title: "join", Creates: []string{"/var/lib/kubelet/"}, Do: func(context.Context, *Step) error { return host.ErrPlanned }},
		Phase{Name: "b", Title: "edit", Needs: []string{"a"}, Do: func(ctx context.Context, s *Step) error {
			if !s.Planned("/var/lib/kubelet/config.yaml") {
				t.Error("the file is not planned")
			}
			_, err := s.ReadFile(ctx, "/var/lib/kubelet/config.yaml")
			return err
		}},
	)
	if diff := cmp.Diff([]string{"join", "edit"}, changes(events)); diff != "" {
		t.Error(diff)
	}
}

func TestEventsOfAPlanHaveTheDiffOfAFile(t *testing.T) {
	t.Parallel()
	r, fake, events := planOf(t)
	fake.Put("/etc/x", "a\nb\n")
	do(t, r, Phase{Name: "a", Do: func(ctx context.Context, s *Step) error {
		_, err := host.EnsureFiles(ctx, s, host.File{Path: "/etc/x", Content: []byte("a\nc\n"), Mode: 0o600})
		return err
	}})
	var diffs []string
	for _, e := range events.Events() {
		if e.Kind == report.Change {
			diffs = append(diffs, e.Diff)
		}
	}
	if diff := cmp.Diff([]string{"mode 0644 → 0600\n@@ -1,2 +1,2 @@\n a\n-b\n+c"}, diffs); diff != "" {
		t.Error(diff)
	}
}

// The other host's plan does not explain what this one lacks.
func TestAPlanDistinguishesHosts(t *testing.T) {
	t.Parallel()
	r, _, _ := planOf(t)
	other := hostsOf("w").All[0]
	other.Conn = hosttest.NewFake(t, "w")
	r.Hosts.All = append(r.Hosts.All, other)
	err := r.Do(t.Context(), Workflow{Name: "apply", Phases: []Phase{{Name: "a", On: Seed, Do: func(ctx context.Context, s *Step) error {
		if err := s.WriteFiles(ctx, host.File{Path: "/etc/passwd"}); err != nil {
			return err
		}
		_, err := s.On(other).ReadFile(ctx, "/etc/passwd")
		return err
	}}}})
	if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, host.ErrPlanned) {
		t.Errorf("got %v, want a file that does not exist", err)
	}
}
