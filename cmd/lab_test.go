package cmd

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const fakeVagrant = `#!/bin/sh
case $2 in
status)
	echo 1795263616,kmaster,state,running
	echo 1795263616,kworker1,state,poweroff ;;
snapshot)
	for name in kmaster kworker1; do echo "1795263616,$name,ui,detail,installed"; done ;;
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

func TestUpRefusesToChangeTheLab(t *testing.T) {
	withVagrantLab(t)
	for want, args := range map[string][]string{
		`--provider container: lab "lab" uses vagrant`:                                                           {"--provider", "container"},
		"its box is bento/debian-13: delete the lab first (slipway lab down) to change it to bento/ubuntu-24.04": {"--box", "ubuntu-24.04"},
		"a lab cannot shrink, and machine kworker1 is not in its new size":                                       {"--workers", "0", "--machines-only"},
	} {
		_, complaints, code := slipway(t, append([]string{"lab", "up"}, args...)...)
		if code == 0 || !strings.Contains(complaints, want) {
			t.Errorf("%v: exit code %d, said %q, want %q", args, code, complaints, want)
		}
	}
}
