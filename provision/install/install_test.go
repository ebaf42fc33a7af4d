package install

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/remote"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
	"slipway.io/slipway/templates"
)

const one = "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n"

// phase is one that does just this.
func phase(do func(context.Context, *workflow.Step) error) workflow.Phase {
	return workflow.Phase{Name: "install", Title: "install", Do: do}
}

func TestRole(t *testing.T) {
	t.Parallel()
	const cp, worker = config.RoleControlPlane, config.RoleWorker
	tests := []struct {
		name  string
		roles []config.Role
		want  string
	}{
		{"a control plane", []config.Role{cp}, "control-plane"},
		{"a worker", []config.Role{worker}, "worker"},
		{"one that is both needs what a control plane does", []config.Role{worker, cp}, "control-plane"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := Role(config.Host{Roles: test.roles}); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestPath(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"kubelet": "/usr/local/bin/kubelet", "cni/bridge": "/opt/cni/bin/bridge"} {
		if got := Path(name); got != want {
			t.Errorf("%s goes to %s, want %s", name, got, want)
		}
	}
}

func TestBinariesThatAreMissingOrOtherwiseAreSent(t *testing.T) {
	t.Parallel()
	bed := workflowtest.New(t, one)
	bed.Bundle = workflowtest.NewBundle(t)
	machine := bed.Machine("cp-1")
	same, err := bed.Bundle.File("kubelet", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	machine.PutBlob(remote.Blob{Path: "/usr/local/bin/kubelet", SHA256: same.SHA256})
	machine.Put("/usr/local/bin/kubeadm", "an older one")
	install := phase(func(ctx context.Context, s *workflow.Step) error {
		return Binaries(ctx, s, []string{"kubelet", "kubeadm", "cni/bridge"})
	})
	bed.MustApply(install)
	want := map[string]bool{"upload /usr/local/bin/kubeadm": true, "upload /opt/cni/bin/bridge": true}
	got := map[string]bool{}
	for _, change := range bed.Changes() {
		got[change] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	blob, _ := machine.Blob("/opt/cni/bin/bridge")
	if content, err := os.ReadFile(blob.Source); err != nil || string(content) != "the program cni/bridge" || blob.Mode != 0o755 {
		t.Errorf("sent %+v: %q, %v", blob, content, err)
	}
	bed.MustApply(install)
	if again := bed.Changes(); len(again) > 0 {
		t.Errorf("a second time changes %v", again)
	}
}

func TestAFileThatTheBundleLacksIsSaid(t *testing.T) {
	t.Parallel()
	bed := workflowtest.New(t, one)
	bed.Bundle = workflowtest.NewBundle(t)
	bed.Machine("cp-1").StrictFiles()
	bed.Facts("cp-1").Arch = "arm64"
	err := bed.Apply(phase(func(ctx context.Context, s *workflow.Step) error { return Binaries(ctx, s, []string{"kubelet"}) }))
	var missing *bundle.NotFoundError
	if !errors.As(err, &missing) || missing.Arch != "arm64" {
		t.Errorf("got %v, want a *bundle.NotFoundError", err)
	}
}

func TestService(t *testing.T) {
	t.Parallel()
	service := phase(func(ctx context.Context, s *workflow.Step) error {
		return Service(ctx, s, "containerd.service", "/etc/containerd/config.toml")
	})
	t.Run("that runs with its files is left alone", func(t *testing.T) {
		t.Parallel()
		bed := workflowtest.New(t, one)
		bed.Machine("cp-1").ExpectQueryScript("state.sh", "containerd.service", "/etc/containerd/config.toml").Returns("ok\n")
		bed.MustApply(service)
		if got := bed.Changes(); len(got) > 0 {
			t.Errorf("changes %v", got)
		}
	})
	t.Run("that does not is started, and reset stops it", func(t *testing.T) {
		t.Parallel()
		bed := workflowtest.New(t, one)
		machine := bed.Machine("cp-1")
		machine.ExpectQueryScript("state.sh", "containerd.service", "/etc/containerd/config.toml").Returns("containerd.service is inactive\n")
		machine.ExpectRunScript("start.sh", "containerd.service")
		bed.MustApply(service)
		if diff := cmp.Diff([]string{"systemctl disable --quiet --now containerd.service"}, bed.Undo("cp-1")); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("that does not start is an error with its log", func(t *testing.T) {
		t.Parallel()
		bed := workflowtest.New(t, one)
		machine := bed.Machine("cp-1")
		machine.ExpectQueryScript("state.sh", "containerd.service", "/etc/containerd/config.toml").Returns("containerd.service is not enabled\n")
		machine.ExpectRunScript("start.sh", "containerd.service").Fails(1, "containerd: no such file")
		var exit *remote.ExitError
		if err := bed.Apply(service); !errors.As(err, &exit) || exit.Stderr != "containerd: no such file" {
			t.Errorf("got %v", err)
		}
	})
}

// systemd is a stand-in for systemctl and journalctl in a folder of programs.
func systemd(t *testing.T, systemctl string) (path string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"systemctl": systemctl, "journalctl": `echo "log of $*"`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir + string(filepath.ListSeparator) + os.Getenv("PATH")
}

// run runs a script as machines do, with another PATH.
func run(t *testing.T, script, path string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-s", "--"}, args...)...)
	cmd.Stdin = bytes.NewReader(templates.Script(script))
	cmd.Env = append(os.Environ(), "PATH="+path)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestStateScript(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	then := time.Unix(1_700_000_000, 0)
	if err := os.Chtimes(file, then, then); err != nil {
		t.Fatal(err)
	}
	answers := func(enabled, active, started string) string {
		return `case $1 in is-enabled) echo ` + enabled + `; [ ` + enabled + ` = enabled ] ;;
			is-active) echo ` + active + `; [ ` + active + ` = active ] ;;
			show) echo "@` + started + `" ;; *) exit 9 ;; esac`
	}
	tests := []struct{ name, systemctl, file, want string }{
		{"it runs with the file", answers("enabled", "active", "1700000001"), file, "ok\n"},
		{"it was started in the second in which the file was written", answers("enabled", "active", "1700000000"), file, "ok\n"},
		{"the file was written later", answers("enabled", "active", "1699999999"), file, file + " is newer than the running x.service\n"},
		{"the file is missing", answers("enabled", "active", "1700000001"), file + "x", file + "x is missing\n"},
		{"it is not enabled", answers("disabled", "active", "1700000001"), file, "x.service is not enabled\n"},
		{"it does not run", answers("enabled", "failed", "0"), file, "x.service is failed\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			out, complaints, code := run(t, "service/state.sh", systemd(t, test.systemctl), "x.service", test.file)
			if code != 0 || out != test.want {
				t.Errorf("exit code %d, %q, want %q; %s", code, out, test.want, complaints)
			}
		})
	}
}

func TestStartScript(t *testing.T) {
	t.Parallel()
	t.Run("enables and starts anew", func(t *testing.T) {
		t.Parallel()
		out, _, code := run(t, "service/start.sh", systemd(t, `echo "$*"`), "x.service")
		if want := "daemon-reload\nenable --quiet x.service\nrestart x.service\n"; code != 0 || out != want {
			t.Errorf("exit code %d, %q, want %q", code, out, want)
		}
	})
	t.Run("tells the log of what does not come up", func(t *testing.T) {
		t.Parallel()
		_, complaints, code := run(t, "service/start.sh", systemd(t, `[ "$1" != restart ]`), "x.service")
		if code != 1 || !strings.Contains(complaints, "log of --no-pager --lines 20 --unit x.service") {
			t.Errorf("exit code %d, %q", code, complaints)
		}
	})
	t.Run("enabling starts nothing", func(t *testing.T) {
		t.Parallel()
		out, _, code := run(t, "service/enable.sh", systemd(t, `echo "$*"`), "x.service")
		if want := "daemon-reload\nenable --quiet x.service\n"; code != 0 || out != want {
			t.Errorf("exit code %d, %q, want %q", code, out, want)
		}
	})
}
