package cmd

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/viper"

	"slipway.io/slipway/provision/host/lock"
)

// A setting comes from the flag, else the environment, else the settings file,
// else the default.
func TestSettings(t *testing.T) {
	tests := []struct {
		name, file, env string
		args            []string
		want            string
	}{
		{"the default", "", "", nil, "inventory.yaml"},
		{"the settings file", "inventory: file.yaml\n", "", nil, "file.yaml"},
		{"the environment before the file", "inventory: file.yaml\n", "env.yaml", nil, "env.yaml"},
		{"the flag before the environment", "inventory: file.yaml\n", "env.yaml", []string{"-i", "flag.yaml"}, "flag.yaml"},
		{"the flag before the file", "inventory: file.yaml\n", "", []string{"--inventory", "flag.yaml"}, "flag.yaml"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			home := alone(t)
			if test.file != "" {
				write(t, home+"/xdg_config_home/slipway/config.yaml", test.file)
			}
			if test.env != "" {
				t.Setenv("SLIPWAY_INVENTORY", test.env)
			}
			_, complaints, code := slipway(t, append([]string{"plan"}, test.args...)...)
			if code != exitUsage || !strings.Contains(complaints, "inventory "+test.want+": ") {
				t.Errorf("exit code %d, %q, want %s to be opened", code, complaints, test.want)
			}
		})
	}
}

func TestSettingsFileThatCannotBeRead(t *testing.T) {
	home := alone(t)
	write(t, home+"/xdg_config_home/slipway/config.yaml", "inventory: [\n")
	if _, complaints, code := slipway(t, "version"); code != exitUsage || !strings.Contains(complaints, "slipway/config.yaml: ") {
		t.Errorf("exit code %d, %q", code, complaints)
	}
}

// set reads a command's flags as it does before it runs.
func set(t *testing.T, args ...string) *app {
	t.Helper()
	a := &app{settings: viper.New()}
	found, rest, err := newRoot(a).Find(args)
	if err != nil {
		t.Fatal(err)
	}
	if err := found.ParseFlags(rest); err != nil {
		t.Fatal(err)
	}
	if err := a.loadSettings(found); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestSelectionIsThatOfTheFlags(t *testing.T) {
	home := alone(t)
	a := set(t, "apply", "--skip-phases", "cni,join", "--skip-phases", "kernel", "--from", "lock", "--until", "images", "--hosts", "cp-1,w-1")
	got := a.selection()
	if !slices.Equal(got.Skip, []string{"cni", "join", "kernel"}) || got.From != "lock" || got.Until != "images" || !slices.Equal(got.Hosts, []string{"cp-1", "w-1"}) {
		t.Errorf("flags: %+v", got)
	}
	t.Setenv("SLIPWAY_HOSTS", "cp-1,w-1")
	t.Setenv("SLIPWAY_SKIP_PHASES", "cni")
	if got := set(t, "apply").selection(); !slices.Equal(got.Hosts, []string{"cp-1", "w-1"}) || !slices.Equal(got.Skip, []string{"cni"}) {
		t.Errorf("environment: %+v", got)
	}
	t.Setenv("SLIPWAY_HOSTS", "")
	write(t, home+"/xdg_config_home/slipway/config.yaml", "hosts: [cp-1, w-1]\nparallel: 3\n")
	a = set(t, "apply")
	if got := a.selection(); !slices.Equal(got.Hosts, []string{"cp-1", "w-1"}) || a.settings.GetInt("parallel") != 3 {
		t.Errorf("file: %+v", got)
	}
	if got := set(t, "plan"); got.settings.GetInt("parallel") != 3 {
		t.Error("file: parallel is lost")
	}
}

func TestTheDefaultSelectionIsEmpty(t *testing.T) {
	alone(t)
	if diff := cmp.Diff(0, len(set(t, "apply").selection().Hosts)); diff != "" {
		t.Error(diff)
	}
}

func TestCommandsThatChangeHostsWaitForALockUntilItExpires(t *testing.T) {
	home := alone(t)
	timeout := func(args ...string) time.Duration {
		t.Helper()
		return set(t, args...).settings.GetDuration("lock-timeout")
	}
	commands := [][]string{{"apply"}, {"reset"}, {"phase", "run"}, {"addon", "enable"}, {"addon", "disable"}, {"lab", "up"}}
	for _, command := range commands {
		if got := timeout(command...); got != lock.Expiry {
			t.Errorf("%v waits for %s, want %s", command, got, lock.Expiry)
		}
		if got := timeout(append(command, "--lock-timeout", "0")...); got != 0 {
			t.Errorf("%v --lock-timeout 0 waits for %s", command, got)
		}
	}
	write(t, home+"/xdg_config_home/slipway/config.yaml", "lock-timeout: 10m\n")
	if got := timeout("apply"); got != 10*time.Minute {
		t.Errorf("file: %s", got)
	}
	t.Setenv("SLIPWAY_LOCK_TIMEOUT", "2m")
	if got := timeout("reset"); got != 2*time.Minute {
		t.Errorf("environment: %s", got)
	}
}
