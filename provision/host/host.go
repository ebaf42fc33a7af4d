// Package host defines the interface Host, through which the engine reads a host
// (Query, ReadFile, Differs) and changes it (Run, WriteFiles, Upload).
//
// Package ssh implements it over SSH, package hosttest as a strict fake. Packages
// record, plan and journal wrap a Host to intercept its changes.
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

// Host is one host of the inventory. Its methods are safe for concurrent use and
// end when their context does.
type Host interface {
	// String is the host's name in the inventory, for messages.
	fmt.Stringer

	// Query runs a command that only reads. It also runs in a plan.
	// If the command exits with a code other than 0, the error is an *ExitError.
	Query(ctx context.Context, cmd Cmd) (Result, error)

	// Run runs a command that changes the host. A plan records it instead.
	// If the command exits with a code other than 0, the error is an *ExitError.
	Run(ctx context.Context, cmd Cmd) (Result, error)

	// ReadFile reads a whole file as root. If it does not exist, the error wraps
	// fs.ErrNotExist.
	ReadFile(ctx context.Context, path string) ([]byte, error)

	// Differs returns the files that WriteFiles would change, in order.
	Differs(ctx context.Context, files ...File) ([]File, error)

	// WriteFiles writes files in order, without comparing them first (see
	// EnsureFiles). It replaces each file atomically: it writes a temporary file
	// in the same directory, syncs, verifies and renames it. It creates missing
	// parent directories with mode 0755.
	WriteFiles(ctx context.Context, files ...File) error

	// Upload writes large files, without comparing them first: see journal.Sums.
	Upload(ctx context.Context, blobs ...Blob) error
}

// Dialer is a Host that forwards connections, as ssh -L does.
type Dialer interface {
	// DialContext connects from the host to addr ("host:port").
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// Stater is a Host that tells the type, the mode and the owner of a path.
type Stater interface {
	// Stat returns the path as a File without content. It does not follow a
	// symbolic link. UID and GID are -1 if they are unknown. If the path does not
	// exist, the error wraps fs.ErrNotExist.
	Stat(ctx context.Context, path string) (File, error)
}

// Cmd is a command as argv. No shell interprets it: the transport quotes it as
// it needs.
type Cmd struct {
	// Name describes the command in plans, logs and the journal. If empty, they
	// show Argv.
	Name string
	// Argv is the program and its arguments.
	Argv []string
	// Stdin is the standard input; nil is an empty one.
	Stdin io.Reader
	// Sudo runs the command as root.
	Sudo bool
	// Secret lists strings that are replaced in logs, errors and the journal.
	// Other users can read Argv on the host: pass secrets through Stdin.
	Secret []string
	// Undo is the command that undoes this one, as root; nil if there is nothing
	// to undo. The journal keeps it, and reset runs it.
	Undo []string
	// Requires lists the services and the absolute paths without which a Query
	// fails. In a plan, such a failure counts as planned if the plan starts one of
	// these services or creates one of these paths. The program is among them.
	Requires []string
	// Starts lists the services that a Run starts and that do not run before.
	Starts []string
	// Output receives standard output and standard error as they are printed,
	// without a limit; nil discards them.
	Output io.Writer
}

// scriptArgv runs a script from standard input.
var scriptArgv = []string{"sh", "-s", "--"}

// Script returns a Cmd that runs a shell script as root, with args as its
// positional parameters. The script is the standard input of `sh -s --`.
func Script(name string, script []byte, args ...string) Cmd {
	return Cmd{
		Name:  name,
		Argv:  slices.Concat(scriptArgv, args),
		Stdin: bytes.NewReader(script),
		Sudo:  true,
	}
}

// String returns the command for messages: the name if it has one, followed by
// the arguments of a script; Argv otherwise. Secrets are replaced.
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
	// Stdout is the whole standard output, at most MaxStdout bytes. Stderr is the
	// last MaxStderr bytes of standard error.
	Stdout, Stderr []byte
}

// File is a small file or a directory on a host.
type File struct {
	// Path is absolute.
	Path string
	// Content is the whole content; empty for a directory.
	Content []byte
	// Mode holds the permission bits (0 means 0644, or 0755 for a directory);
	// with fs.ModeDir the File is a directory. reset deletes a directory that
	// slipway created when it is empty, and some with their contents.
	Mode fs.FileMode
	// UID and GID are the owner; 0 is root.
	UID, GID int
	// Secret hides the content in plans and logs.
	Secret bool
}

// Blob is a large local file to upload.
type Blob struct {
	// Path is the absolute path on the host.
	Path string
	// Source is the path on localhost.
	Source string
	// SHA256 is the checksum in lower-case hex, Size the length in bytes.
	SHA256 string
	Size   int64
	// Mode holds the permission bits (0 means 0644). The owner is root.
	Mode fs.FileMode
}
