package cmd

import (
	"context"
	"encoding/json"
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
	"slipway.io/slipway/provision/localhost"
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

// bare is a computer of a test with only the given programs.
type bare struct {
	localhost.Current
	os, arch string
	commands map[string]string
}

func (b bare) OS() string                      { return b.os }
func (b bare) Arch() string                    { return b.arch }
func (b bare) Root() bool                      { return false }
func (b bare) ReadFile(string) ([]byte, error) { return nil, os.ErrNotExist }
func (b bare) Run(_ context.Context, argv ...string) (string, error) {
	out, ok := b.commands[strings.Join(argv, " ")]
	if !ok {
		return "", os.ErrNotExist
	}
	return out, nil
}

// onComputer runs slipway on a computer of a test.
func onComputer(t *testing.T, computer localhost.System, args ...string) (out, complaints string, code int) {
	t.Helper()
	var outBuffer, errBuffer strings.Builder
	root := newRoot(&app{in: strings.NewReader(""), out: &outBuffer, err: &errBuffer, settings: viper.New(), localhost: computer})
	root.SetArgs(args)
	root.SetOut(&outBuffer)
	root.SetErr(&errBuffer)
	err := root.ExecuteContext(t.Context())
	explain(&errBuffer, err)
	return outBuffer.String(), errBuffer.String(), exitCode(err)
}

func TestUpWithoutAProviderSaysWhatToInstall(t *testing.T) {
	alone(t)
	mac := bare{os: "darwin", arch: "arm64"}
	out, complaints, code := onComputer(t, mac, "lab", "up")
	if code != exitPreflight || out != "" {
		t.Errorf("exit code %d, output %q", code, out)
	}
	for _, want := range []string{"Missing on this computer (macOS on Apple silicon): Vagrant, a hypervisor.", "  brew install hashicorp/tap/hashicorp-vagrant\n"} {
		if !strings.Contains(complaints, want) {
			t.Errorf("it lacks %q:\n%s", want, complaints)
		}
	}
	if lines := strings.Count(complaints, "\n"); lines > 24 {
		t.Errorf("%d lines:\n%s", lines, complaints)
	}

	out, complaints, code = onComputer(t, mac, "lab", "up", "-o", "json")
	var guide localhost.Guide
	if err := json.Unmarshal([]byte(out), &guide); err != nil || code != exitPreflight || complaints != "" {
		t.Fatalf("exit code %d, %v: %s%s", code, err, out, complaints)
	}
	if !slices.Equal(guide.Missing, []string{"Vagrant", "a hypervisor"}) || len(guide.Ways) != 1 || len(guide.Ways[0].Commands) != 2 {
		t.Errorf("got %+v", guide)
	}
	if entries, err := os.ReadDir("."); err != nil || len(entries) != 0 {
		t.Errorf("it created files: %v, %v", entries, err)
	}
}

func TestABoxThatTheHypervisorLacksIsRefused(t *testing.T) {
	alone(t)
	computer := bare{os: "linux", arch: "amd64", commands: map[string]string{
		"vagrant --version": "Vagrant 2.4.9", "virsh --version": "9.0.0", "vagrant plugin list --no-tty": "vagrant-libvirt (0.12.2, global)",
	}}
	_, complaints, code := onComputer(t, computer, "lab", "up", "--box", "rockylinux-9")
	if code != exitUsage || !strings.Contains(complaints, "--box: box bento/rockylinux-9 is not published for libvirt on amd64: use ubuntu-24.04") {
		t.Errorf("exit code %d: %s", code, complaints)
	}
	_, complaints, code = onComputer(t, computer, "lab", "up", "--hypervisor", "hyperv")
	if code != exitUsage || !strings.Contains(complaints, "Vagrant cannot create networks of Hyper-V") {
		t.Errorf("exit code %d: %s", code, complaints)
	}
}

func TestMachinesOfAnInventory(t *testing.T) {
	alone(t)
	write(t, "mine.yaml", `apiVersion: slipway.io/v1alpha1
kind: Cluster
hosts:
- {name: alpha, address: 192.0.2.40, roles: [control-plane]}
- {name: beta, address: 192.0.2.41}
`)
	specOf := func(found *lab.Lab, args ...string) (lab.Spec, error) {
		a := &app{settings: viper.New()}
		up, rest, err := newLab(a).Find(append([]string{"up"}, args...))
		if err := errors.Join(err, up.ParseFlags(rest), a.settings.BindPFlags(up.Flags())); err != nil {
			t.Fatal(err)
		}
		return a.labSpec(found)
	}
	spec, err := specOf(nil, "--hosts-from", "mine.yaml")
	if err != nil || len(spec.Machines) != 2 || spec.Subnet.String() != "192.0.2.0/24" || spec.ControlPlanes != 1 || spec.Workers != 1 {
		t.Fatalf("%v, %+v", err, spec)
	}
	if _, err := specOf(nil, "--hosts-from", "mine.yaml", "--workers", "3"); exitCode(err) != exitUsage {
		t.Errorf("a number beside the inventory: %v", err)
	}
	found := &lab.Lab{Machines: spec.Machines}
	again, err := specOf(found)
	if err != nil || len(again.Machines) != 2 {
		t.Errorf("%v, %+v", err, again)
	}
	if _, err := specOf(found, "--workers", "3"); exitCode(err) != exitUsage || !strings.Contains(err.Error(), "pass it with --hosts-from") {
		t.Errorf("another number of machines: %v", err)
	}
}
