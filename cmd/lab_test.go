package cmd

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/viper"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/lab"
)

const fakeVagrant = `#!/bin/sh
case $2 in
status)
	echo 1795263616,kmaster,state,running
	echo 1795263616,kworker1,state,poweroff ;;
snapshot)
	for name in kmaster kworker1; do echo "1795263616,$name,ui,detail,installed"; done ;;
halt) shift; echo "$*" >>halted ;;
*) exit 1 ;;
esac
`

const vagrantLab = `name: lab
provider: libvirt
box: bento/debian-13
cpus: 2
memoryMiB: 2048
network: 172.16.16.0/24
machines:
  - {name: kmaster, address: 172.16.16.100, roles: [control-plane], user: vagrant, identityFile: /key}
  - {name: kworker1, address: 172.16.16.101, roles: [worker], user: vagrant, identityFile: /key}
`

// withVagrantLab sets up a lab of Vagrant and a fake vagrant program.
func withVagrantLab(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the fake is a shell script")
	}
	home := alone(t)
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "slipway", "labs", "lab")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "lab.yaml"), vagrantLab)
	if err := os.WriteFile(filepath.Join(home, "vagrant"), []byte(fakeVagrant), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", home+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func TestCommandsFindAVagrantLab(t *testing.T) {
	withVagrantLab(t)
	out, complaints, code := slipway(t, "lab", "status")
	for _, want := range []string{"kmaster   control-plane  172.16.16.100  running", "kworker1  worker         172.16.16.101  off"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit code %d %s: it lacks %q:\n%s", code, complaints, want, out)
		}
	}
	if out, complaints, code := slipway(t, "lab", "snapshot", "list"); code != 0 || out != "installed\n" {
		t.Errorf("exit code %d %s: %q", code, complaints, out)
	}
	if _, complaints, code := slipway(t, "lab", "ssh", "w9"); code == 0 || !strings.Contains(complaints, `no machine "w9"`) {
		t.Errorf("exit code %d: %s", code, complaints)
	}
	out, _, _ = slipway(t, "__complete", "lab", "ssh", "")
	if !strings.Contains(out, "kworker1\tworker 172.16.16.101\n") {
		t.Errorf("completion of machines: %s", out)
	}
}

func TestHaltCutsThePowerOfTheNamedMachines(t *testing.T) {
	withVagrantLab(t)
	for _, args := range [][]string{{"kworker1"}, {"kmaster", "kworker1", "--force"}, {}} {
		if _, complaints, code := slipway(t, append([]string{"lab", "halt"}, args...)...); code != 0 {
			t.Errorf("%v: exit code %d: %s", args, code, complaints)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	halted, err := os.ReadFile(filepath.Join(cache, "slipway", "labs", "lab", "halted"))
	if want := "halt kworker1\nhalt --force kmaster kworker1\nhalt\n"; err != nil || string(halted) != want {
		t.Errorf("%v, called %q, want %q", err, halted, want)
	}
	for _, command := range []string{"halt", "resume", "start"} {
		_, complaints, code := slipway(t, "lab", command, "w9")
		if code == 0 || !strings.Contains(complaints, "slipway: lab lab has no machine \"w9\"\nnext: run `slipway lab status`") {
			t.Errorf("%s of an unknown machine: exit code %d: %s", command, code, complaints)
		}
		out, _, _ := slipway(t, "__complete", "lab", command, "kmaster", "")
		if !strings.HasPrefix(out, "kworker1\tworker 172.16.16.101\n") {
			t.Errorf("completion after the first machine of %s: %s", command, out)
		}
	}
}

func TestHAChoosesTheNumbersOfMachines(t *testing.T) {
	alone(t)
	controlPlane := lab.Machine{Name: "cp1", Roles: []config.Role{config.RoleControlPlane}}
	five := &lab.Lab{Machines: slices.Repeat([]lab.Machine{controlPlane}, 5)}
	for _, test := range []struct {
		name                   string
		args                   []string
		found                  *lab.Lab
		controlPlanes, workers int
		ha                     bool
	}{
		{"no machine is spare by default", nil, nil, 1, 2, false},
		{"etcd survives the loss of one of three", []string{"--ha"}, nil, 3, 2, true},
		{"a cluster can grow from one control plane", []string{"--ha", "--control-planes", "1", "--workers", "0"}, nil, 1, 0, true},
		{"a lab keeps its machines", []string{"--ha"}, five, 5, 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := &app{settings: viper.New()}
			cmd := newLab(a)
			up, rest, err := cmd.Find(append([]string{"up"}, test.args...))
			if err := errors.Join(err, up.ParseFlags(rest), a.settings.BindPFlags(up.Flags())); err != nil {
				t.Fatal(err)
			}
			spec, err := a.labSpec(test.found)
			if err != nil {
				t.Fatal(err)
			}
			if spec.ControlPlanes != test.controlPlanes || spec.Workers != test.workers || spec.HA != test.ha {
				t.Errorf("%d control planes, %d workers, HA %t; want %d, %d, %t", spec.ControlPlanes, spec.Workers, spec.HA, test.controlPlanes, test.workers, test.ha)
			}
		})
	}
}

func TestUpRefusesToChangeTheLab(t *testing.T) {
	withVagrantLab(t)
	for want, args := range map[string][]string{
		`--provider container: lab "lab" uses vagrant`:                                                           {"--provider", "container"},
		"its box is bento/debian-13: delete the lab first (slipway lab down) to change it to bento/ubuntu-24.04": {"--box", "ubuntu-24.04"},
		"it was created without --ha: delete the lab first":                                                      {"--ha"},
		"a lab cannot shrink, and machine kworker1 is not in its new size":                                       {"--workers", "0", "--machines-only"},
	} {
		_, complaints, code := slipway(t, append([]string{"lab", "up"}, args...)...)
		if code == 0 || !strings.Contains(complaints, want) {
			t.Errorf("%v: exit code %d, said %q, want %q", args, code, complaints, want)
		}
	}
}
