package ssh

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"slipway.io/slipway/provision/host"
	hostscripts "slipway.io/slipway/templates/host"
)

// A command prints a mark on both streams when it starts, because other programs
// print before it: profiles and forced commands print banners, sudo prints warnings
// and refusals. What precedes the mark is not output of the command. Without the
// mark, the command has not run.

// label is in the environment of all processes that a command starts: see stop. Its
// value is part of the mark.
const label = "SLIPWAY_COMMAND"

// startArgv returns the command that prints the mark of the token and then runs argv.
func startArgv(token string, argv []string) []string {
	return append([]string{"env", "LC_ALL=C", label + "=" + token, "sh", "-c", hostscripts.Start, "sh"}, argv...)
}

// streams are the output of a command after its mark.
type streams struct{ stdout, stderr *afterMark }

func newStreams(token string, stdout, stderr io.Writer) streams {
	mark := []byte(hostscripts.StartMark + token + "\n")
	return streams{&afterMark{mark: mark, w: stdout}, &afterMark{mark: mark, w: stderr}}
}

// started reports whether the command has run.
func (s streams) started() bool { return s.stdout.found || s.stderr.found }

// reason is what the program printed that did not run the command.
func (s streams) reason() string {
	for _, stream := range []*afterMark{s.stderr, s.stdout} {
		if text := lastLines(string(stream.before)); text != "" {
			return text
		}
	}
	return "no message"
}

// lastLines returns the last three lines in one: sudo prints up to three, and a
// banner may precede them.
func lastLines(text string) string {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	return strings.TrimSpace(strings.Join(lines[max(0, len(lines)-3):], "; "))
}

// afterMark passes on what is written after the mark, and keeps the end of what
// precedes it.
type afterMark struct {
	mark   []byte
	w      io.Writer
	found  bool
	before []byte
}

func (a *afterMark) Write(p []byte) (int, error) {
	if a.found {
		return a.w.Write(p)
	}
	a.before = append(a.before, p...)
	before, after, found := bytes.Cut(a.before, a.mark)
	if found {
		a.found, a.before = true, before
		if len(after) > 0 {
			_, err := a.w.Write(after)
			return len(p), err
		}
		return len(p), nil
	}
	if excess := len(a.before) - host.MaxStderr; excess > 0 {
		a.before = append(a.before[:0], a.before[excess:]...)
	}
	return len(p), nil
}

// refusal returns the error for a command that has not run, because sudo or the login
// shell refused.
func (s sudo) refusal(reason string) error {
	if len(s.prefix) > 0 {
		return fmt.Errorf("%w: %s", host.ErrSudo, reason)
	}
	return fmt.Errorf("%w: %s", host.ErrNoShell, reason)
}

// errNoPacket: a program other than an SFTP server runs, and may never end.
var errNoPacket = errors.New("the SFTP server prints text")

// afterBanner skips the text before the first packet of an SFTP server: a banner, and
// the mark. A packet begins with the high byte of its length, which is 0.
type afterBanner struct {
	*bufio.Reader
	found bool
}

func (a *afterBanner) Read(p []byte) (int, error) {
	for skipped := 0; !a.found; skipped++ {
		c, err := a.ReadByte()
		if err != nil {
			return 0, err
		}
		if skipped > host.MaxStderr {
			return 0, errNoPacket
		}
		if a.found = c == 0; a.found {
			_ = a.UnreadByte()
		}
	}
	return a.Reader.Read(p)
}
