package systemd_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/host/plan"
	"slipway.io/slipway/provision/host/record"
	"slipway.io/slipway/provision/host/systemd"
)

// undoing is a fake that keeps the undo of the last command.
type undoing struct {
	*hosttest.Fake
	undo string
}

func (u *undoing) Run(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	u.undo = host.Quote(cmd.Undo)
	return u.Fake.Run(ctx, cmd)
}

const (
	program = "/usr/local/bin/containerd"
	config  = "/etc/containerd/config.toml"
	disable = "systemctl disable --quiet --now containerd.service"
)

var containerd = systemd.Service{Name: "containerd.service", Files: []string{program, config}}

func TestEnsure(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, state string
		written     []string
		change      string
	}{
		{"a service that runs with its files stays as it is", "", nil, ""},
		{"a stopped service is started", "stopped inactive\n", nil, "start containerd.service: it is inactive"},
		{"a failed service is started", "stopped failed\n", nil, "start containerd.service: it is failed"},
		{
			"a stopped service with new files is started once", "disabled\nstopped inactive\n",
			[]string{program, config},
			"start containerd.service: it is inactive",
		},
		{
			"a changed file restarts the service", "changed " + config + "\n",
			nil, "restart containerd.service: " + config + " changed",
		},
		{
			"several changed files restart it once", "changed " + config + "\nchanged " + program + "\n",
			[]string{config, program},
			"restart containerd.service: " + config + ", " + program + " changed",
		},
		{
			"a planned file restarts it", "",
			[]string{"/usr/local/bin/runc", program},
			"restart containerd.service: " + program + " changed",
		},
		{"a file that it does not read does not restart it", "", []string{"/usr/local/bin/runc"}, ""},
		{"a disabled service is enabled and runs on", "disabled\n", nil, "enable.sh containerd.service"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := &undoing{Fake: hosttest.NewFake(t, "cp-1")}
			h.ExpectService(containerd.Name, containerd.Files...).Returns(test.state)
			switch test.change {
			case "":
			case "enable.sh containerd.service":
				h.ExpectRunScript("enable.sh", containerd.Name)
			default:
				h.ExpectStart(test.change, containerd.Name, containerd.Files...)
			}
			if err := containerd.Ensure(t.Context(), h, test.written...); err != nil {
				t.Fatal(err)
			}
			if undo := h.undo; test.change != "" && undo != disable {
				t.Errorf("undo %q, want %q", undo, disable)
			}

			planned, changes := hosttest.NewFake(t, "cp-1"), &hosttest.Changes{}
			planned.ExpectService(containerd.Name, containerd.Files...).Returns(test.state)
			if err := containerd.Ensure(t.Context(), record.New(plan.New(planned, &plan.State{}), changes), test.written...); err != nil {
				t.Fatal(err)
			}
			var want []string
			if test.change != "" {
				want = []string{"run " + test.change}
			}
			if diff := cmp.Diff(want, changes.Lines()); diff != "" {
				t.Errorf("the plan: %s", diff)
			}
		})
	}
}

func TestAServiceThatReadsItsConfigurationAgainIsReloaded(t *testing.T) {
	t.Parallel()
	const conf, dropIn = "/etc/haproxy/haproxy.cfg", "/etc/systemd/system/haproxy.service.d/slipway.conf"
	haproxy := systemd.Service{Name: "haproxy.service", Files: []string{conf, dropIn}, Reload: []string{conf}}
	for name, test := range map[string]struct{ state, change string }{
		"if nothing else changed":    {"changed " + conf + "\n", "reload haproxy.service: " + conf + " changed"},
		"but not with a new drop-in": {"changed " + dropIn + "\nchanged " + conf + "\n", "restart haproxy.service: " + conf + ", " + dropIn + " changed"},
		"but not with another file":  {"changed /etc/default/haproxy\n", "restart haproxy.service: /etc/default/haproxy changed"},
		"but not if it is stopped":   {"stopped failed\n", "start haproxy.service: it is failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := &undoing{Fake: hosttest.NewFake(t, "cp-1")}
			h.ExpectService(haproxy.Name, haproxy.Files...).Returns(test.state)
			if strings.HasPrefix(test.change, "reload") {
				h.ExpectReload(test.change, haproxy.Name, haproxy.Files...)
			} else {
				h.ExpectStart(test.change, haproxy.Name, haproxy.Files...)
			}
			if err := haproxy.Ensure(t.Context(), h); err != nil {
				t.Fatal(err)
			}
			if want := "systemctl disable --quiet --now haproxy.service"; h.undo != want {
				t.Errorf("undo %q, want %q", h.undo, want)
			}
		})
	}
}

func TestAServiceThatDoesNotStartIsAnErrorWithItsLog(t *testing.T) {
	t.Parallel()
	h := hosttest.NewFake(t, "cp-1")
	h.ExpectService(containerd.Name, containerd.Files...).Returns("stopped failed\n")
	h.ExpectStart("start containerd.service: it is failed", containerd.Name, containerd.Files...).Fails(1, "containerd: no such file")
	var exit *host.ExitError
	if err := containerd.Ensure(t.Context(), h); !errors.As(err, &exit) || exit.Stderr != "containerd: no such file" {
		t.Errorf("got %v", err)
	}
}

func TestEnableIsUndone(t *testing.T) {
	t.Parallel()
	h := &undoing{Fake: hosttest.NewFake(t, "cp-1")}
	h.ExpectRunScript("enable.sh", "containerd.service")
	if err := systemd.Enable(t.Context(), h, "containerd.service"); err != nil || h.undo != disable {
		t.Errorf("undo %q, %v", h.undo, err)
	}
}
