// Package systemd runs commands and services on a host through systemd.
package systemd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/retry"
	"slipway.io/slipway/templates"
)

// UnitsDir is where a host keeps the command, the output and the exit code of
// each unit: UnitsDir/NAME/{argv,input,log,code}.
const UnitsDir = "/var/lib/slipway/units"

// A unit is retried after a lost connection. Pauses double up to the maximum: a
// host may need minutes to restart its network.
const (
	unitTries    = 20
	unitMinPause = 200 * time.Millisecond
	unitMaxPause = 30 * time.Second
)

// tailLines is how many lines of a failed unit's log its error carries.
const tailLines = 20

var unitName = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$`)

// Unit is a long or dangerous command that must not start twice, and whose
// result must survive a lost connection.
type Unit struct {
	// Name becomes the systemd unit slipway-NAME.service: lower-case letters,
	// digits, dot, dash and underscore.
	Name string
	// Argv is the command. It runs as root, in /, with an empty input.
	Argv []string
	// Input identifies the content of the files that the command reads: see InputOf.
	// A running unit with another command or input is stopped and replaced.
	Input string
	// Sync are paths whose file systems are on disk before the unit counts as done:
	// the command itself may not sync what it writes.
	Sync []string
	// Undo, Secret and Output are those of host.Cmd.
	Undo   []string
	Secret []string
	Output io.Writer
	// Timeout is how long systemd lets the command run, rounded up to whole
	// seconds; 0 is without a limit. It counts on the host, connected or not.
	Timeout time.Duration
}

// InputOf returns the Input of a unit whose command reads files with these contents.
func InputOf(contents ...[]byte) string {
	all := sha256.New()
	for _, content := range contents {
		sum := sha256.Sum256(content)
		all.Write(sum[:])
	}
	return hex.EncodeToString(all.Sum(nil))
}

// Run runs the command as a transient systemd unit and waits for its end. If a
// unit of that name runs the same command with the same input already, since an
// installer was killed or lost its connection, Run follows it instead of starting
// another. A unit that differs is stopped first. Run ignores the result
// of an earlier call: phases probe the host themselves. After a lost connection,
// Run reconnects and continues to follow the unit.
//
// It is one Run of the host, so that a plan records it. An exit code other than
// 0 is an *host.ExitError with the unit's own argv, and the last lines of its
// log as Stderr. If something else ends the unit (timeout, systemctl stop,
// reboot), the code is 255. When the context ends, the unit continues to run.
func Run(ctx context.Context, h host.Host, u Unit) (host.Result, error) {
	return run(ctx, h, u, UnitsDir)
}

func run(ctx context.Context, h host.Host, u Unit, dir string) (host.Result, error) {
	if !unitName.MatchString(u.Name) {
		return host.Result{}, fmt.Errorf("%s: unit name %q: want lower-case letters, digits, dot, dash, underscore", h, u.Name)
	}
	if err := (host.Cmd{Argv: u.Argv}).Check(); err != nil {
		return host.Result{}, fmt.Errorf("%s: unit %s: %w", h, u.Name, err)
	}
	output := &resumingWriter{w: u.Output}
	started := time.Now()
	pause := unitMinPause
	for try := 1; ; try++ {
		output.replay()
		// A result belongs to this call if the unit started after the call. Both
		// sides compare durations, because their clocks may differ.
		age := 0
		if try > 1 {
			age = int(math.Ceil(time.Since(started).Seconds())) + 1
		}
		result, err := h.Run(ctx, u.command(dir, age, output))
		if err == nil {
			return result, nil
		}
		lost := errors.Is(err, host.ErrOutcomeUnknown) || try > 1 && errors.Is(err, host.ErrUnreachable)
		if !lost || try == unitTries || ctx.Err() != nil {
			return result, u.explain(err)
		}
		if err := retry.Sleep(ctx, pause); err != nil {
			return result, fmt.Errorf("%s: unit %s continues to run: %w", h, u.Name, err)
		}
		pause = min(2*pause, unitMaxPause)
	}
}

func (u Unit) command(dir string, age int, output io.Writer) host.Cmd {
	limit := int(math.Ceil(u.Timeout.Seconds()))
	args := append([]string{dir, u.Name, strconv.Itoa(age), strconv.Itoa(limit), u.Input, strings.Join(u.Sync, " ")}, u.Argv...)
	cmd := host.Script("unit "+u.Name, templates.Script("systemd/unit.sh"), args...)
	cmd.Undo, cmd.Secret, cmd.Output = u.Undo, u.Secret, output
	return cmd
}

// explain distinguishes the end of the unit's command, which the script prints
// as its last line, from a failure of the script.
func (u Unit) explain(err error) error {
	exit := (*host.ExitError)(nil)
	if !errors.As(err, &exit) {
		return err
	}
	last, log := lastLines(exit.Stderr, 1), lastLines(exit.Stdout, tailLines)
	switch {
	case last == fmt.Sprintf("slipway-%s ended with %d", u.Name, exit.Code):
	case strings.HasPrefix(last, "slipway-"+u.Name+" was stopped: "):
		// By its timeout, systemctl stop, the kernel or a reboot.
		log = strings.TrimPrefix(log+"\n"+last, "\n")
	default:
		return err
	}
	return &host.ExitError{
		Host: exit.Host, Command: host.Cmd{Argv: u.Argv, Secret: u.Secret}.String(), Code: exit.Code,
		Stdout: exit.Stdout, Stderr: log,
	}
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// resumingWriter passes each byte of a log on once, although the host prints the
// log from its beginning after each reconnection.
type resumingWriter struct {
	w             io.Writer
	written, skip int64
}

func (r *resumingWriter) replay() { r.skip = r.written }

func (r *resumingWriter) Write(p []byte) (int, error) {
	known := min(r.skip, int64(len(p)))
	r.skip -= known
	fresh := p[known:]
	r.written += int64(len(fresh))
	if r.w != nil && len(fresh) > 0 {
		_, _ = r.w.Write(fresh)
	}
	return len(p), nil
}
