// Package remote says what a machine is to slipway: something that can be
// asked (Query, ReadFile) and changed (Run, WriteFile, Upload).
//
// The interface is the seam between the engine and the machines. Real machines
// are in package ssh; a strict fake for tests is in package remotetest; plan
// and journal wrap a Host to record what passes through it.
package host

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"slices"
	"strings"
)

// Host is one machine. All methods are safe for concurrent use, and end when
// their context does.
type Host interface {
	// String is the host's name in the inventory, for messages.
	fmt.Stringer

	// Query runs a command that only reads. It also runs in a plan.
	// A command that exits with another code than 0 is an *ExitError.
	Query(ctx context.Context, cmd Cmd) (Result, error)

	// Run runs a command that changes the machine. A plan records it instead.
	// A command that exits with another code than 0 is an *ExitError.
	Run(ctx context.Context, cmd Cmd) (Result, error)

	// ReadFile reads a whole file with the rights of root. A missing one is
	// an error for which errors.Is(err, fs.ErrNotExist) holds.
	ReadFile(ctx context.Context, path string) ([]byte, error)

	// Differs returns those of files that WriteFiles would change, in order. It
	// changes nothing.
	Differs(ctx context.Context, files ...File) ([]File, error)

	// WriteFiles puts files in place, in order. It does not compare first: see
	// EnsureFiles. A reader never sees a part of a file: it is written beside
	// its path, synced, verified and renamed. Missing parent directories are
	// created with mode 0755.
	WriteFiles(ctx context.Context, files ...File) error

	// Upload puts large files in place, whether or not they are there already:
	// ask for their sums first.
	Upload(ctx context.Context, blobs ...Blob) error
}

// Dialer is a Host through which connections can be made, as with ssh -L.
type Dialer interface {
	// DialContext connects from the machine to addr ("host:port").
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// Cmd is a command as argv. No shell sees it: what quoting the transport
// needs is the transport's affair.
type Cmd struct {
	// Name says in plans, logs and the journal what the command does, where
	// Argv alone does not. May be empty.
	Name string
	// Argv is the program and its arguments.
	Argv []string
	// Stdin is given to the command; nil is an empty input.
	Stdin io.Reader
	// Sudo runs the command as root.
	Sudo bool
	// Secret lists strings that must not appear in logs, errors or the
	// journal; they are replaced there. Secrets themselves travel by Stdin.
	Secret []string
	// Undo is the command with which reset takes this one back; nil where
	// nothing is to be taken back. The journal keeps it. It runs as root.
	Undo []string
	// Output receives the combined output as it comes, without a limit, for the
	// log of a long step; nil discards it.
	Output io.Writer
}

// scriptArgv is how a script on standard input runs.
var scriptArgv = []string{"sh", "-s", "--"}

// Script is a Cmd that runs a fixed shell script, given over standard input to
// `sh -s --`, with args as its positional parameters, as root. The name says
// in plans, logs and the journal what the script is.
func Script(name string, script []byte, args ...string) Cmd {
	return Cmd{
		Name:  name,
		Argv:  slices.Concat(scriptArgv, args),
		Stdin: bytes.NewReader(script),
		Sudo:  true,
	}
}

// String is the command for people: one with a name by that, and a script with
// its arguments too. Secrets are replaced.
func (c Cmd) String() string {
	var words []string
	argv := c.Argv
	if c.Name != "" {
		words = append(words, Redact(c.Name, c.Secret))
		argv = nil
		if script := len(scriptArgv); len(c.Argv) > script && slices.Equal(c.Argv[:script], scriptArgv) {
			argv = c.Argv[script:]
		}
	}
	for _, word := range argv {
		clean := Redact(word, c.Secret)
		if clean == word {
			clean = quoteWord(word, false)
		}
		words = append(words, clean)
	}
	return strings.Join(words, " ")
}

// Result is the output of a command that exited with 0.
type Result struct {
	// Stdout is the whole standard output, at most MaxStdout bytes; Stderr the
	// last MaxStderr bytes of standard error.
	Stdout, Stderr []byte
}

// File is a small file that a machine shall have, or a directory.
type File struct {
	// Path is absolute.
	Path string
	// Content is the whole content; empty for a directory.
	Content []byte
	// Mode holds the permission bits (0 means 0644, or 0755 for a directory);
	// with fs.ModeDir the File is a directory that belongs to slipway if it
	// was absent: reset removes it with all that is in it.
	Mode fs.FileMode
	// UID and GID own the file; zero is root.
	UID, GID int
	// Secret keeps the content out of plans and logs.
	Secret bool
}

// Blob is a large local file that a machine shall have.
type Blob struct {
	// Path is where it goes on the machine, absolute.
	Path string
	// Source is the path of the local file.
	Source string
	// SHA256 is its checksum in lower-case hex, Size its length in bytes.
	SHA256 string
	Size   int64
	// Mode holds the permission bits (0 means 0644). The owner is root.
	Mode fs.FileMode
}
