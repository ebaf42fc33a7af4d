package report

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// terminal opens a pseudo-terminal of that size and returns its two sides.
func terminal(t *testing.T, columns, rows uint16) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { _ = person.Close() })
	fd := int(person.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { _ = program.Close() })
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}); err != nil {
		t.Fatal(err)
	}
	return person, program
}

// record reads what the program writes until it closes its side.
func record(person io.Reader) <-chan []byte {
	all := make(chan []byte, 1)
	go func() {
		var b bytes.Buffer
		_, _ = io.Copy(&b, person) // ends with EIO on Linux
		all <- b.Bytes()
	}()
	return all
}

func TestLiveOnATerminal(t *testing.T) {
	t.Setenv("TERM", "xterm-256color")
	t.Setenv("CLICOLOR_FORCE", "")
	t.Setenv("NO_COLOR", "")
	person, program := terminal(t, 60, 20)
	all := record(person)
	before, err := term.GetState(int(program.Fd()))
	if err != nil {
		t.Fatal(err)
	}

	sink := Text(program, Options{})
	if _, ok := sink.(*live); !ok {
		t.Fatalf("Text chose %T for a terminal", sink)
	}
	events := goodRun()
	offset := time.Since(events[0].Time)
	for _, e := range events {
		e.Time = e.Time.Add(offset)
		sink.Event(e)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	after, err := term.GetState(int(program.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if *before != *after {
		t.Error("the terminal's mode is another one than before")
	}
	_ = program.Close()

	written := <-all
	if !bytes.Contains(written, []byte("\x1b[33m")) {
		t.Error("no colour on a terminal")
	}
	if bytes.Contains(written, []byte("\x1b[?")) {
		t.Error("a private mode was set: it would outlive a killed program")
	}
	screen := &emulator{t: t, columns: 60}
	if _, err := screen.Write(written); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"cp1       kubeadm-init  changed", "✓ apply  1m06s", "apply finished in 1m06s: 28 changes"} {
		if !strings.Contains(screen.screen(), want) {
			t.Errorf("no %q on the terminal:\n%s", want, screen.screen())
		}
	}
}

func TestNoColorOnATerminal(t *testing.T) {
	t.Setenv("TERM", "xterm-256color")
	t.Setenv("NO_COLOR", "1")
	person, program := terminal(t, 60, 20)
	all := record(person)
	sink := startLive(program, Options{})
	for _, e := range badRun() {
		sink.Event(e)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	_ = program.Close()
	if written := <-all; bytes.Contains(written, []byte("m\x1b")) || bytes.Contains(written, []byte("\x1b[3")) {
		t.Errorf("coloured despite NO_COLOR: %q", written)
	}
}

func TestADumbTerminalGetsLines(t *testing.T) {
	t.Setenv("TERM", "dumb")
	_, program := terminal(t, 80, 24)
	if sink, ok := Text(program, Options{}).(*lines); !ok {
		t.Errorf("Text chose %T", sink)
	}
}

func TestATableWrapsItsLastColumnAtTheEdge(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	person, program := terminal(t, 40, 24)
	all := record(person)
	err := Table(program, []string{"check", "found"}, []Row{
		{Status: StatusFailed, Cells: []string{"swap", "a partition in /etc/fstab would be mounted again"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = program.Close()
	want := "        check  found\r\nfailed  swap   a partition in\r\n               /etc/fstab would be\r\n               mounted again\r\n"
	if got := string(<-all); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
