package localhost

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// child starts a process that runs until its standard input is closed, and
// identifies it.
func child(t *testing.T) (p Process, kill, reap func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "cat")
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p = Process{Computer: CurrentProcess().Computer, PID: cmd.Process.Pid}
	var err error
	if _, p.Started, err = readStat(p.PID); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
	}
	return p, kill, func() { _ = cmd.Wait() }
}

func TestCurrentProcessIsKnownAndHasNotEnded(t *testing.T) {
	t.Parallel()
	p := CurrentProcess()
	if p.PID != os.Getpid() || len(p.Computer) != 64 || p.Started == "" || p.Started == "0" {
		t.Errorf("got %+v", p)
	}
	if p != CurrentProcess() {
		t.Error("a second call differs")
	}
	if p.Ended() {
		t.Error("this process has ended")
	}
}

func TestTheMachineIDIsNotDisclosed(t *testing.T) {
	t.Parallel()
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	machine, _ := os.ReadFile("/etc/machine-id")
	for _, secret := range []string{strings.TrimSpace(string(boot)), strings.TrimSpace(string(machine))} {
		if secret != "" && strings.Contains(CurrentProcess().Computer, secret) {
			t.Errorf("the computer is identified by %s itself", secret)
		}
	}
}

func TestAProcessHasEndedOnceItIsKilled(t *testing.T) {
	t.Parallel()
	p, kill, reap := child(t)
	if p.Ended() {
		t.Error("a running process has ended")
	}
	kill()
	reap()
	if !p.Ended() {
		t.Error("a killed process has not ended")
	}
}

// As when the shell that started a killed installer does not collect it.
func TestAZombieHasEnded(t *testing.T) {
	t.Parallel()
	p, kill, reap := child(t)
	defer reap()
	kill()
	for deadline := time.Now().Add(10 * time.Second); !p.Ended(); {
		if time.Now().After(deadline) {
			t.Fatal("a zombie has not ended")
		}
	}
}

func TestOnlyAProcessThatIsKnownHasEnded(t *testing.T) {
	t.Parallel()
	dead, kill, reap := child(t)
	kill()
	reap()
	with := func(change func(*Process)) Process {
		p := dead
		change(&p)
		return p
	}
	this := CurrentProcess()
	tests := []struct {
		name string
		p    Process
		want bool
	}{
		{"a PID that no process has", dead, true},
		{"a PID that another process has reused", Process{Computer: this.Computer, PID: this.PID, Started: "1"}, true},
		{"a running process of another user", Process{Computer: this.Computer, PID: 1, Started: startOf(t, 1)}, false},
		{"another computer, boot or container", with(func(p *Process) { p.Computer = strings.Repeat("0", 64) }), false},
		{"a system that cannot identify processes", with(func(p *Process) { p.Computer = "" }), false},
		{"a lock of an earlier version", Process{}, false},
		{"a PID that is none", with(func(p *Process) { p.PID = -1 << 20 }), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := test.p.Ended(); got != test.want {
				t.Errorf("ended: %t, want %t", got, test.want)
			}
		})
	}
}

func startOf(t *testing.T, pid int) string {
	t.Helper()
	_, started, err := readStat(pid)
	if err != nil {
		t.Fatal(err)
	}
	return started
}

func TestTheStartTimeIsFoundWhateverTheProgramIsCalled(t *testing.T) {
	t.Parallel()
	var numbers []string
	for i := 4; i <= 52; i++ {
		numbers = append(numbers, strconv.Itoa(i))
	}
	rest := " S " + strings.Join(numbers, " ") + "\n"
	for _, name := range []string{"slipway", "a b", "a) R 1 2 (b", ")"} {
		state, started, err := parseStat([]byte("7 (" + name + ")" + rest))
		if err != nil || state != "S" || started != "22" {
			t.Errorf("%q: state %q, started %q, %v", name, state, started, err)
		}
	}
	for _, text := range []string{"", "7 (slipway) S 4 5\n"} {
		if _, _, err := parseStat([]byte(text)); err == nil {
			t.Errorf("%q is parsed", text)
		}
	}
}
