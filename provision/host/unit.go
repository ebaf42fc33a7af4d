package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	remotescripts "slipway.io/slipway/templates/remote"
)

// UnitsDir is where the machine keeps the command, the output and the exit code
// of each unit: UnitsDir/NAME/{argv,log,code}.
const UnitsDir = "/var/lib/slipway/units"

// How often, and after how long, a unit is looked for again once the connection
// was lost. The pauses double up to the maximum: a machine may be rebooting its
// network for some minutes.
const (
	unitTries    = 20
	unitMinPause = 200 * time.Millisecond
	unitMaxPause = 30 * time.Second
)

// tailLines is how much of a failed unit's log its error carries.
const tailLines = 20

var unitName = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$`)

// Unit is a long or dangerous step that must not be started twice, and whose
// outcome must not get lost with a connection.
type Unit struct {
	// Name becomes the systemd unit slipway-NAME.service: lower-case letters,
	// digits, dot, dash and underscore.
	Name string
	// Argv is the command. It runs as root, from /, with an empty input.
	Argv []string
	// Undo, Secret and Output are as in Cmd.
	Undo   []string
	Secret []string
	Output io.Writer
	// Timeout is after how long systemd ends the command (rounded up to whole
	// seconds); 0 is never. It counts on the machine, connection or not.
	Timeout time.Duration
}

// RunUnit runs the command as a transient systemd unit and waits for its end.
// If a unit of this name runs already (an installer was killed, or lost its
// connection), it is followed instead of being started again. A result that an
// earlier call left on the machine is not used: phases probe the truth
// themselves. A lost connection is made again, and the unit is found again.
//
// It is one Run, so that a plan records it. Another exit code than 0 is an
// *ExitError with the unit's own argv, and the last lines of its log as Stderr;
// so is an end from outside (timeout, systemctl stop, reboot), with code 255.
// When the context ends, the unit goes on running on the machine.
func RunUnit(ctx context.Context, h Host, u Unit) (Result, error) {
	return runUnit(ctx, h, u, UnitsDir)
}

func runUnit(ctx context.Context, h Host, u Unit, dir string) (Result, error) {
	if !unitName.MatchString(u.Name) {
		return Result{}, fmt.Errorf("%s: unit name %q: want lower-case letters, digits, dot, dash, underscore", h, u.Name)
	}
	if err := (Cmd{Argv: u.Argv}).Check(); err != nil {
		return Result{}, fmt.Errorf("%s: unit %s: %w", h, u.Name, err)
	}
	output := &resumingWriter{w: u.Output}
	started := time.Now()
	pause := unitMinPause
	for try := 1; ; try++ {
		output.replay()
		// A result is this call's own if the unit started after the call did.
		// Both ends are measured as durations, each by one clock, so that
		// clocks that differ, or are set, do not matter.
		age := 0
		if try > 1 {
			age = int(math.Ceil(time.Since(started).Seconds())) + 1
		}
		result, err := h.Run(ctx, u.command(dir, age, output))
		if err == nil {
			return result, nil
		}
		lost := errors.Is(err, ErrOutcomeUnknown) || try > 1 && errors.Is(err, ErrUnreachable)
		if !lost || try == unitTries || ctx.Err() != nil {
			return result, u.explain(err)
		}
		if err := wait(ctx, pause); err != nil {
			return result, fmt.Errorf("%s: unit %s goes on running: %w", h, u.Name, err)
		}
		pause = min(2*pause, unitMaxPause)
	}
}

func (u Unit) command(dir string, age int, output io.Writer) Cmd {
	limit := int(math.Ceil(u.Timeout.Seconds()))
	args := append([]string{dir, u.Name, strconv.Itoa(age), strconv.Itoa(limit)}, u.Argv...)
	cmd := Script("unit "+u.Name, remotescripts.Unit, args...)
	cmd.Undo, cmd.Secret, cmd.Output = u.Undo, u.Secret, output
	return cmd
}

// explain tells an end of the unit's command, which the script announces on its
// last line, from a failure of the script.
func (u Unit) explain(err error) error {
	exit := (*ExitError)(nil)
	if !errors.As(err, &exit) {
		return err
	}
	last, log := lastLine(exit.Stderr), lastLines(exit.Stdout, tailLines)
	switch {
	case last == fmt.Sprintf("slipway-%s ended with %d", u.Name, exit.Code):
	case strings.HasPrefix(last, "slipway-"+u.Name+" was ended from outside: "):
		// By its timeout, by systemctl stop, by the kernel, by a reboot.
		log = strings.TrimPrefix(log+"\n"+last, "\n")
	default:
		return err
	}
	return &ExitError{
		Host: exit.Host, Argv: RedactArgv(u.Argv, u.Secret), Code: exit.Code,
		Stdout: exit.Stdout, Stderr: log,
	}
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// resumingWriter passes each byte of a log on once, although the log is told
// from its beginning after every reconnect.
type resumingWriter struct {
	w          io.Writer
	told, skip int64
}

func (r *resumingWriter) replay() { r.skip = r.told }

func (r *resumingWriter) Write(p []byte) (int, error) {
	known := min(r.skip, int64(len(p)))
	r.skip -= known
	fresh := p[known:]
	r.told += int64(len(fresh))
	if r.w != nil && len(fresh) > 0 {
		_, _ = r.w.Write(fresh)
	}
	return len(p), nil
}
