package vagrant

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"slipway.io/slipway/provision/lab"
)

// fake is a Vagrant in whose directory a file for each machine holds its state.
// w2 never boots. Its answers have the form of Vagrant 2.3.4's.
const fake = `#!/bin/sh
echo "$*" >>calls
shift # --machine-readable
names=$(sed -n 's/^- address: .*//;s/^  name: //p' lab.yaml)
tell() { printf '%s\n' "1795263616,$*"; }
case $1 in
status)
	for name in $names; do tell "$name,state,$(cat "state-$name" 2>/dev/null || echo not_created)"; done ;;
up)
	for name in $names; do
		if [ "$name" = w2 ]; then
			echo poweroff >state-w2
			tell ",error-exit,VagrantPlugins::X::Errors::Y,An action 'up' was attempted on the machine 'w2'%!(VAGRANT_COMMA)\\nbut its disk is full."
			exit 1
		fi
		tell "$name,ui,info,==> $name: Machine booted and ready!"
		echo running >"state-$name"
	done ;;
snapshot)
	for name in $names; do tell "$name,ui,output,==> $name: "; tell "$name,ui,detail,${name#w}"; done
	tell "cp1,ui,detail,installed" ;;
halt) for name in $names; do echo poweroff >"state-$name"; done ;;
destroy) rm -f state-* ;;
*) exit 1 ;;
esac
`

// newFake returns a Vagrant with the fake program, and the events.
func newFake(t *testing.T) (Vagrant, *[]string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the fake is a shell script")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "vagrant")
	if err := os.WriteFile(program, []byte(fake), 0o755); err != nil {
		t.Fatal(err)
	}
	var said []string
	return Vagrant{Dir: dir, Program: program, Progress: func(e lab.Event) { said = append(said, e.Machine+" "+e.Message) }}, &said
}

func calls(t *testing.T, v Vagrant, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(v.Dir, "labs", name, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestAFailedUpNamesTheMachineAndTheReason(t *testing.T) {
	t.Parallel()
	v, said := newFake(t)
	_, err := v.Up(t.Context(), lab.Spec{Name: "a", ControlPlanes: 1, Workers: 2})
	if err == nil || !strings.Contains(err.Error(), "lab a: w2 is poweroff: vagrant up: An action 'up' was attempted on the machine 'w2',\nbut its disk is full.") {
		t.Fatalf("got %v", err)
	}
	if !slices.Contains(*said, "cp1 Machine booted and ready!") {
		t.Errorf("the machine that booted is not reported: %q", *said)
	}
	found, err := v.Status(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	var states []lab.MachineState
	for _, m := range found.Machines {
		states = append(states, m.State)
	}
	if !slices.Equal(states, []lab.MachineState{lab.Running, lab.Running, lab.Off}) {
		t.Errorf("states %v", states)
	}

	// Up resumes with the machines that are missing.
	if _, err := v.Up(t.Context(), lab.Spec{Name: "a", ControlPlanes: 1, Workers: 2}); err == nil {
		t.Fatal("w2 came up")
	}
	if got := calls(t, v, "a"); !strings.Contains(got, "up --no-provision --provider virtualbox w2\n") {
		t.Errorf("up did not start w2 alone:\n%s", got)
	}
}

func TestSingleMachinesArePoweredOffAndOn(t *testing.T) {
	t.Parallel()
	v, _ := newFake(t)
	_, _ = v.Up(t.Context(), lab.Spec{Name: "a", ControlPlanes: 1, Workers: 2}) // fails at w2, see above
	if _, err := v.Halt(t.Context(), "a", lab.HaltOptions{Machines: []string{"cp1"}, Force: true}); err != nil {
		t.Fatal(err)
	}
	_, _ = v.Boot(t.Context(), "a", "w2") // fails too
	got := calls(t, v, "a")
	for _, want := range []string{"halt --force cp1\n", "up --no-provision --provider virtualbox w2\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no call %q:\n%s", want, got)
		}
	}
	before := got
	_, noHalt := v.Halt(t.Context(), "a", lab.HaltOptions{Machines: []string{"cp1", "w9"}})
	_, noBoot := v.Boot(t.Context(), "a", "w9")
	for _, err := range []error{noHalt, noBoot} {
		if err == nil || !strings.Contains(err.Error(), `no machine "w9"`) {
			t.Errorf("an unknown machine: %v", err)
		}
	}
	if got := calls(t, v, "a"); got != before {
		t.Errorf("Vagrant was called for an unknown machine:\n%s", got)
	}
}

func TestASnapshotThatAMachineLacksIsNotRestored(t *testing.T) {
	t.Parallel()
	v, _ := newFake(t)
	if err := v.RestoreSnapshot(t.Context(), "a", "installed"); !errors.Is(err, lab.ErrNotFound) {
		t.Errorf("no lab: %v", err)
	}
	_, _ = v.Up(t.Context(), lab.Spec{Name: "a", ControlPlanes: 1, Workers: 2}) // fails at w2, see above
	err := v.RestoreSnapshot(t.Context(), "a", "installed")
	if err == nil || !strings.Contains(err.Error(), `w1 has no snapshot "installed"; it has: 1`) {
		t.Errorf("got %v", err)
	}
	err = v.SaveSnapshot(t.Context(), "a", "installed")
	if err == nil || !strings.Contains(err.Error(), `snapshot "installed" of cp1 already exists`) {
		t.Errorf("got %v", err)
	}
	if err := v.SaveSnapshot(t.Context(), "a", "--force"); err == nil {
		t.Error("a snapshot has the name of an option")
	}
	if got := calls(t, v, "a"); strings.Contains(got, "halt") || strings.Contains(got, "restore") || strings.Contains(got, "save") {
		t.Errorf("machines changed:\n%s", got)
	}
	names, err := v.Snapshots(t.Context(), "a")
	if err != nil || len(names) != 0 {
		t.Errorf("snapshots that only some machines have: %v, %v", names, err)
	}
}

func TestDownRemovesTheDirectoryAfterTheMachines(t *testing.T) {
	t.Parallel()
	v, _ := newFake(t)
	if err := v.Down(t.Context(), "a"); err != nil {
		t.Errorf("a lab that is not there: %v", err)
	}
	_, _ = v.Up(t.Context(), lab.Spec{Name: "a", ControlPlanes: 1, Workers: 2})
	if !v.Has("a") {
		t.Fatal("the lab is not there")
	}
	// Without Vagrant the machines stay, and so does their record.
	without := v
	without.Program = filepath.Join(v.Dir, "none")
	if err := without.Down(t.Context(), "a"); err == nil || !v.Has("a") {
		t.Errorf("got %v", err)
	}
	if err := v.Down(t.Context(), "a"); err != nil || v.Has("a") {
		t.Errorf("got %v", err)
	}
	if _, err := v.Find(t.Context(), "a"); !errors.Is(err, lab.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}
