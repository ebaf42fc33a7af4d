// Package journal records on each host what slipway changes there, so that reset
// can undo it.
package journal

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"time"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/record"
	"slipway.io/slipway/templates"
)

// Dir is the directory of the journal on a host: entries.jsonl, and below before/
// a copy of each file that slipway replaced, at its own path.
const Dir = "/var/lib/slipway/journal"

// Entry is a line of the journal.
type Entry struct {
	Time  string `json:"time"`
	Phase string `json:"phase"`
	// Kind is "file" or "dir" for a path that was written, "run" for a command.
	Kind string `json:"kind"`
	// Path is the path that was written. Existed: it existed before, and there is a
	// copy of it if it is a file. Made is the topmost parent directory that was
	// created for it.
	Path    string `json:"path,omitempty"`
	Existed bool   `json:"existed,omitempty"`
	Made    string `json:"made,omitempty"`
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
	if err := j.write(ctx, "append.sh", string(line), same); err != nil {
		return host.Result{}, err
	}
	return j.Host.Run(ctx, cmd)
}

// WriteFiles adds the paths to the journal, with a copy of each file that slipway
// replaces for the first time, and writes the files.
func (j *journaling) WriteFiles(ctx context.Context, files ...host.File) error {
	if err := j.files(ctx, files); err != nil {
		return err
	}
	return j.Host.WriteFiles(ctx, files...)
}

// Upload adds the paths to the journal, uploads the files and records their
// checksums for Sums.
func (j *journaling) Upload(ctx context.Context, blobs ...host.Blob) error {
	if len(blobs) == 0 {
		return nil
	}
	var files []host.File
	var sums []string
	for _, blob := range blobs {
		files = append(files, host.File{Path: blob.Path})
		sums = append(sums, blob.SHA256, blob.Path)
	}
	if err := j.files(ctx, files); err != nil {
		return err
	}
	if err := j.Host.Upload(ctx, blobs...); err != nil {
		return err
	}
	return j.write(ctx, "sums-add.sh", sums...)
}

// files adds paths to the journal before they are written.
func (j *journaling) files(ctx context.Context, files []host.File) error {
	if len(files) == 0 {
		return nil
	}
	args := []string{j.phase}
	for _, file := range files {
		if !plainPath.MatchString(file.Path) {
			return fmt.Errorf("%s: journal: unsupported characters in path %q", j, file.Path)
		}
		kind := "file"
		if file.Mode.IsDir() {
			kind = "dir"
		}
		args = append(args, kind, file.Path)
	}
	return j.write(ctx, "files.sh", args...)
}

func (j *journaling) write(ctx context.Context, name string, args ...string) error {
	if _, err := j.conn.Run(ctx, script(name, args...)); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
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
			// A full disk truncated the line: the change was not made.
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: journal line %d: %w", h, n, err)
		}
		entries = append(entries, e)
	}
	return entries, lines.Err()
}
