package host

import (
	"errors"
	"fmt"
	"strings"
)

// Callers decide on these kinds of failure. Errors of the transport wrap one of
// them.
var (
	// ErrUnreachable: connecting failed, or the connection was lost and
	// reconnecting failed. A retry may help.
	ErrUnreachable = errors.New("unreachable")
	// ErrAuth: the host refused the user or every key. A retry does not help.
	ErrAuth = errors.New("authentication refused")
	// ErrSudo: the user may not become root, or the password is wrong.
	ErrSudo = errors.New("sudo denied")
	// ErrNoShell: the login shell, or a forced command of sshd, did not run the
	// command.
	ErrNoShell = errors.New("the login shell does not run commands")
	// ErrOutcomeUnknown: the connection was lost while a command ran. Whether it
	// ended, and how, is unknown.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrPlanned: the result depends on a change that the plan only recorded.
	ErrPlanned = errors.New("depends on a planned change")
	// ErrCorrupt: a file differs from what was sent or recorded.
	ErrCorrupt = errors.New("checksum differs")
)

// HostKeyError: the host key is not in known_hosts, or differs from the key in
// known_hosts.
type HostKeyError struct {
	// Host is the name in the inventory, Address "host:port".
	Host, Address string
	// KeyType and Fingerprint (SHA256:…, as ssh-keygen -l prints it) describe the
	// key that the host offers.
	KeyType, Fingerprint string
	// Changed: known_hosts has other keys for this address, at the lines in Known
	// ("path:line").
	Changed bool
	Known   []string
	// KnownTypes are the types of those keys. If KeyType is not among them, the
	// host may be the same one and no longer offer the recorded type.
	KnownTypes []string
}

func (e *HostKeyError) Error() string {
	if e.Changed {
		return fmt.Sprintf("%s: the host key of %s has changed: it offers %s %s, but %s has another one",
			e.Host, e.Address, e.KeyType, e.Fingerprint, strings.Join(e.Known, ", "))
	}
	return fmt.Sprintf("%s: the host key of %s is unknown: %s %s", e.Host, e.Address, e.KeyType, e.Fingerprint)
}

// ExitError: a command ran and exited with a code other than 0.
type ExitError struct {
	Host string
	// Command is the command as Cmd.String prints it.
	Command string
	// Code is the exit code; -1 if a signal ended the command.
	Code int
	// Signal is the name of that signal, without SIG.
	Signal string
	// Stdout and Stderr hold the output, with secrets replaced.
	Stdout, Stderr string
}

func (e *ExitError) Error() string {
	return fmt.Sprintf("%s: %s: %s", e.Host, e.Command, e.Ending())
}

// Ending returns how the command ended, and the last line of standard error:
// "exit code 1: no such file".
func (e *ExitError) Ending() string {
	how := fmt.Sprintf("exit code %d", e.Code)
	if e.Signal != "" {
		how = "signal " + e.Signal
	}
	if last := lastLine(e.Stderr); last != "" {
		how += ": " + last
	}
	return how
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// Exited reports whether err is the exit code of a command, such as that of a
// program that is not installed yet, and not a failure to run it.
func Exited(err error) bool {
	var exit *ExitError
	return errors.As(err, &exit)
}
