package workflow

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/report"
)

// planOf makes a plan over one strict machine, on which no file may change.
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

func TestAPlanRecordsAndPassesNothingOn(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("a", 64)
	r, fake, events := planOf(t)
	fake.Put("/etc/same", "same")
	fake.PutBlob(host.Blob{Path: "/bin/same", SHA256: sum})
	fake.ExpectQuery("uname", "-r").Returns("6.1\n")
	do(t, r, Phase{Name: "a", Do: func(ctx context.Context, s *Step) error {
		if res, err := s.Query(ctx, host.Cmd{Argv: []string{"uname", "-r"}}); err != nil || string(res.Stdout) != "6.1\n" {
			t.Errorf("the machine is not asked: %q, %v", res.Stdout, err)
		}
		if err := s.Lock(ctx); err != nil {
			t.Errorf("a plan takes a lock: %v", err)
		}
		for _, cmd := range []host.Cmd{
			{Argv: []string{"swapoff", "/dev/sda2"}},
			{Argv: []string{"login", "hunter2"}, Secret: []string{"hunter2"}},
			host.Script("start.sh", []byte("exit 1"), "kubelet"),
			{Name: "import 2 images", Argv: []string{"ctr", "-"}, Stdin: bytes.NewReader([]byte("many"))},
		} {
			if _, err := s.Run(ctx, cmd); err != nil {
				return err
			}
			if _, err := s.WithoutJournal().Run(ctx, cmd); err != nil {
				return err
			}
		}
		for _, name := range []string{"same", "other"} {
			file := host.File{Path: "/etc/" + name, Content: []byte("same")}
			if changed, err := s.WriteFile(ctx, file); err != nil || changed != (name == "other") {
				t.Errorf("%s: changed %v, %v", file.Path, changed, err)
			}
			blob := host.Blob{Path: "/bin/" + name, SHA256: sum, Size: 1234567}
			if changed, err := s.Upload(ctx, blob); err != nil || changed != (name == "other") {
				t.Errorf("%s: changed %v, %v", blob.Path, changed, err)
			}
		}
		_, err := s.WriteFile(ctx, host.File{Path: "/etc/new", Mode: fs.ModeDir})
		return err
	}})
	want := []string{
		"run swapoff /dev/sda2", "run swapoff /dev/sda2",
		"run login <secret>", "run login <secret>",
		"run start.sh kubelet", "run start.sh kubelet",
		"run import 2 images", "run import 2 images",
		"write /etc/other", "upload /bin/other (1.2 MB)", "make folder /etc/new",
	}
	if diff := cmp.Diff(want, changes(events)); diff != "" {
		t.Error(diff)
	}
	for _, e := range events.Events() {
		if e.Run != "plan" {
			t.Errorf("%+v is of no plan", e)
		}
	}
}

// What a plan cannot see, since a change that it recorded would make it, counts
// as a change itself. What fails before any was recorded is a failure.
func TestAPlanGoesAsFarAsItCanSee(t *testing.T) {
	t.Parallel()
	query := func(ctx context.Context, s *Step) error {
		_, err := s.Query(ctx, host.Cmd{Argv: []string{"containerd", "config", "dump"}})
		return err
	}
	read := func(ctx context.Context, s *Step) error {
		_, err := s.ReadFile(ctx, "/etc/kubernetes/admin.conf")
		return err
	}
	install := func(ctx context.Context, s *Step) error {
		_, err := s.Run(ctx, host.Cmd{Argv: []string{"install"}})
		return err
	}
	unreachable := func(ctx context.Context, s *Step) error {
		_, err := s.Query(ctx, host.Cmd{Argv: []string{"uname"}})
		return err
	}
	tests := []struct {
		name  string
		steps []func(context.Context, *Step) error
		want  []string
		err   error
	}{
		{"a command that would be there", []func(context.Context, *Step) error{install, query}, []string{"run install", "set it up"}, nil},
		{"a file that would be there", []func(context.Context, *Step) error{install, read}, []string{"run install", "set it up"}, nil},
		{"a command that is not there", []func(context.Context, *Step) error{query}, nil, &host.ExitError{}},
		{"a file that is not there", []func(context.Context, *Step) error{read}, nil, fs.ErrNotExist},
		{"a machine that cannot be reached", []func(context.Context, *Step) error{install, unreachable}, []string{"run install"}, host.ErrUnreachable},
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

func TestAPlanDoesWhatItCannotProbe(t *testing.T) {
	t.Parallel()
	r, _, events := planOf(t)
	do(t, r,
		Phase{Name: "a", Title: "install it", Do: func(ctx context.Context, s *Step) error {
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

// The other machine's plan does not explain what this one lacks.
func TestAPlanTellsMachinesApart(t *testing.T) {
	t.Parallel()
	r, _, _ := planOf(t)
	other := hostsOf("w").All[0]
	other.Conn = hosttest.NewFake(t, "w")
	r.Hosts.All = append(r.Hosts.All, other)
	err := r.Do(t.Context(), Workflow{Name: "apply", Phases: []Phase{{Name: "a", On: Seed, Do: func(ctx context.Context, s *Step) error {
		if _, err := s.Run(ctx, host.Cmd{Argv: []string{"install"}}); err != nil {
			return err
		}
		_, err := s.On(other).ReadFile(ctx, "/etc/passwd")
		return err
	}}}})
	if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, host.ErrPlanned) {
		t.Errorf("got %v, want a file that does not exist", err)
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		cmd  host.Cmd
		want string
	}{
		{"a plain command", host.Cmd{Argv: []string{"swapoff", "/dev/sda"}}, "swapoff /dev/sda"},
		{"a script, by its name and arguments", host.Script("undo.sh", nil, "a", "b"), "undo.sh a b"},
		{"a named command, by its name", host.Cmd{Name: "import", Argv: []string{"ctr", "import", "-"}}, "import"},
		{"secrets, the longer first", host.Cmd{Argv: []string{"join", "abc.def", "abc"}, Secret: []string{"abc", "abc.def"}}, "join <secret> <secret>"},
		{"no secret at all", host.Cmd{Argv: []string{"join"}, Secret: []string{""}}, "join"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := describe(test.cmd); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
