// Package journal records on each host what slipway changes there, so that reset
// can undo it.
package journal

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"time"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/record"
	"slipway.io/slipway/templates"
)

// Dir is the directory of the journal on a host: entries.jsonl, and below before/
// a copy of each file that slipway replaced, at its own path. sysctls and services have
// the state of before the first entry: kernel settings, and of haproxy and keepalived
// whether they are enabled and active.
const Dir = "/var/lib/slipway/journal"

// Entry is a line of the journal.
type Entry struct {
	Time  string `json:"time"`
	Phase string `json:"phase"`
	// Kind is "file" or "dir" for the first write of a path, "content" for each
	// content that is written to a file, "run" for a command.
	Kind string `json:"kind"`
	// Path is the path that was written. Existed: it existed before, and there is a
	// copy of it if it is a file. Made is the topmost parent directory that was
	// created for it. Sum is the SHA-256 checksum of a content, in lower-case hex.
	Path    string `json:"path,omitempty"`
	Existed bool   `json:"existed,omitempty"`
	Made    string `json:"made,omitempty"`
	Sum     string `json:"sum,omitempty"`
	// Run is a command for messages. Undo is the command that undoes it.
	Run  string   `json:"run,omitempty"`
	Undo []string `json:"undo,omitempty"`
}

// journaling is a Host that adds each change to its journal before making it.
type journaling struct {
	host.Host // records changes and makes them
	// conn runs the journal's own scripts, which are not recorded.
	conn  host.Host
	phase string
}

// New wraps h: each change of the phase is added to the journal of h, then
// recorded, then made.
func New(h host.Host, phase string, to record.Recorder) host.Host {
	return &journaling{Host: record.New(h, to), conn: h, phase: phase}
}

// plainPath matches paths that files.sh can write to JSON without escaping.
var plainPath = regexp.MustCompile(`^(/[A-Za-z0-9._@:+-]+)+$`)

// Run adds the command and its undo to the journal, and runs the command.
func (j *journaling) Run(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	entry := Entry{
		Time: time.Now().UTC().Format(time.RFC3339), Phase: j.phase,
		Kind: "run", Run: cmd.String(), Undo: cmd.Undo,
	}
	line, err := json.Marshal(entry)
	if err != nil {
		return host.Result{}, err
	}
	// A command with an undo is added once, because reset undoes it once.
	same := string(line)
	if len(cmd.Undo) > 0 {
		undo, err := json.Marshal(cmd.Undo)
		if err != nil {
			return host.Result{}, err
		}
		same = `"undo":` + string(undo)
	}
	args := []string{string(line), same}
	if service, ok := disabled(cmd.Undo); ok {
		// A service that was enabled before stays enabled after a reset.
		entry.Undo = nil
		line, err := json.Marshal(entry)
		if err != nil {
			return host.Result{}, err
		}
		args = append(args, service, string(line))
	}
	if _, err := j.write(ctx, "append.sh", args...); err != nil {
		return host.Result{}, err
	}
	return j.Host.Run(ctx, cmd)
}

// disabled returns the service that a command disables.
func disabled(argv []string) (service string, ok bool) {
	if len(argv) < 3 || argv[0] != "systemctl" || argv[1] != "disable" {
		return "", false
	}
	return argv[len(argv)-1], true
}

// WriteFiles adds the paths and the checksums of their content to the journal, with
// a copy of each file that slipway replaces for the first time, and writes the
// files.
func (j *journaling) WriteFiles(ctx context.Context, files ...host.File) error {
	paths := make([]path, 0, len(files))
	for _, file := range files {
		if file.Mode.IsDir() {
			paths = append(paths, path{kind: "dir", name: file.Path})
			continue
		}
		paths = append(paths, path{"file", file.Path, fmt.Sprintf("%x", sha256.Sum256(file.Content))})
	}
	labeled, err := j.paths(ctx, paths)
	if err != nil {
		return err
	}
	if err := j.Host.WriteFiles(ctx, files...); err != nil {
		return err
	}
	return j.restoreContexts(ctx, labeled)
}

// Upload adds the paths to the journal, uploads the files and records their
// checksums for Sums.
func (j *journaling) Upload(ctx context.Context, blobs ...host.Blob) error {
	if len(blobs) == 0 {
		return nil
	}
	var paths []path
	sums := map[string]string{}
	for _, blob := range blobs {
		paths = append(paths, path{"file", blob.Path, blob.SHA256})
		sums[blob.Path] = blob.SHA256
	}
	labeled, err := j.paths(ctx, paths)
	if err != nil {
		return err
	}
	if err := j.Host.Upload(ctx, blobs...); err != nil {
		return err
	}
	if err := j.restoreContexts(ctx, labeled); err != nil {
		return err
	}
	return RecordSums(ctx, j.conn, sums)
}

// path is a path to write: its kind and the checksum of its content, as files.sh
// takes them.
type path struct{ kind, name, sum string }

// paths adds paths to the journal before they are written. On a host with SELinux, it
// returns the paths whose context must be set when they are written: these, and their
// parents that do not exist yet.
func (j *journaling) paths(ctx context.Context, paths []path) (labeled []string, err error) {
	if len(paths) == 0 {
		return nil, nil
	}
	args := []string{j.phase}
	for _, p := range paths {
		if !plainPath.MatchString(p.name) {
			return nil, fmt.Errorf("%s: journal: unsupported characters in path %q", j, p.name)
		}
		args = append(args, p.kind, p.name, p.sum)
	}
	result, err := j.write(ctx, "files.sh", args...)
	return strings.Fields(string(result.Stdout)), err
}

// restoreContexts gives files the SELinux contexts of the host's policy. A new file has
// that of its directory: systemd would not execute some programs, and daemons could not
// read some configurations.
func (j *journaling) restoreContexts(ctx context.Context, paths []string) error {
	if len(paths) == 0 {
		return nil
	}
	_, err := j.conn.Run(ctx, host.Cmd{Argv: append([]string{"restorecon", "-i"}, paths...), Sudo: true})
	return err
}

func (j *journaling) write(ctx context.Context, name string, args ...string) (host.Result, error) {
	result, err := j.conn.Run(ctx, script(name, args...))
	if err != nil {
		err = fmt.Errorf("journal: %w", err)
	}
	return result, err
}

// script returns a script of the journal. The first argument of each is Dir.
func script(name string, args ...string) host.Cmd {
	name = "journal/" + name
	return host.Script(name, templates.Script(name), append([]string{Dir}, args...)...)
}

// Read reads a host's journal. A host without a journal has no entries.
func Read(ctx context.Context, h host.Host) ([]Entry, error) {
	content, err := h.ReadFile(ctx, Dir+"/entries.jsonl")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var entries []Entry
	var torn *json.SyntaxError
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, len(content)+1)
	for n := 1; lines.Scan(); n++ {
		var e Entry
		err := json.Unmarshal(lines.Bytes(), &e)
		if errors.As(err, &torn) {
			// A full disk or a power loss truncated the line: the change was not made.
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: journal line %d: %w", h, n, err)
		}
		entries = append(entries, e)
	}
	return entries, lines.Err()
}
