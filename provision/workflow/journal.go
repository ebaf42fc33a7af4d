package workflow

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
	"slipway.io/slipway/templates"
)

// JournalDir is where a machine keeps what runs did to it: entries.jsonl, and
// below before/ the files that were there first, at their own paths.
const JournalDir = "/var/lib/slipway/journal"

// Entry is a line of the journal.
type Entry struct {
	Time  string `json:"time"`
	Phase string `json:"phase"`
	// Kind is "file" or "dir" for a path that was written, "run" for a command.
	Kind string `json:"kind"`
	// Path is what was written; Existed says that something was there before,
	// and for a file is kept; Made is the topmost parent folder that had to be
	// made for it.
	Path    string `json:"path,omitempty"`
	Existed bool   `json:"existed,omitempty"`
	Made    string `json:"made,omitempty"`
	// Run is a command, for people; Undo takes it back.
	Run  string   `json:"run,omitempty"`
	Undo []string `json:"undo,omitempty"`
}

// journaler is a machine in a run: what changes it is written to its journal
// first, and counted.
type journaler struct {
	counter
}

// plainPath is what the journal's script can write into JSON as it stands.
var plainPath = regexp.MustCompile(`^(/[A-Za-z0-9._@:+-]+)+$`)

// Run journals the command with what takes it back, and runs it.
func (j *journaler) Run(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	entry := Entry{
		Time: time.Now().UTC().Format(time.RFC3339), Phase: j.step.phase.Name,
		Kind: "run", Run: cmd.String(), Undo: cmd.Undo,
	}
	line, err := json.Marshal(entry)
	if err != nil {
		return host.Result{}, err
	}
	// A command with an undo is kept once: taking it back twice is no use.
	same := string(line)
	if len(cmd.Undo) > 0 {
		undo, err := json.Marshal(cmd.Undo)
		if err != nil {
			return host.Result{}, err
		}
		same = `"undo":` + string(undo)
	}
	if err := j.write(ctx, "journal-append.sh", string(line), same); err != nil {
		return host.Result{}, err
	}
	return j.counter.Run(ctx, cmd)
}

// WriteFiles journals the files, with a copy of each old one, and writes them.
func (j *journaler) WriteFiles(ctx context.Context, files ...host.File) error {
	if err := j.files(ctx, files...); err != nil {
		return err
	}
	return j.counter.WriteFiles(ctx, files...)
}

// Upload journals the files, sends them and notes their sums.
func (j *journaler) Upload(ctx context.Context, blobs ...host.Blob) error {
	if len(blobs) == 0 {
		return nil
	}
	files := make([]host.File, 0, len(blobs))
	for _, blob := range blobs {
		files = append(files, host.File{Path: blob.Path})
	}
	if err := j.files(ctx, files...); err != nil {
		return err
	}
	if err := j.counter.Upload(ctx, blobs...); err != nil {
		return err
	}
	return j.noteSums(ctx, blobs...)
}

// files journals that files and folders are about to be written.
func (j *journaler) files(ctx context.Context, files ...host.File) error {
	if len(files) == 0 {
		return nil
	}
	args := []string{j.step.phase.Name}
	for _, file := range files {
		if !plainPath.MatchString(file.Path) {
			return fmt.Errorf("%s: the journal cannot hold the path %q", j.Host, file.Path)
		}
		kind := "file"
		if file.Mode.IsDir() {
			kind = "dir"
		}
		args = append(args, kind, file.Path)
	}
	return j.write(ctx, "journal-file.sh", args...)
}

func (j *journaler) write(ctx context.Context, script string, args ...string) error {
	cmd := host.Script(script, templates.Script("workflow/"+script), append([]string{JournalDir}, args...)...)
	if _, err := j.Host.Run(ctx, cmd); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// ReadJournal reads a machine's journal; one that has none gives no entries.
func ReadJournal(ctx context.Context, h host.Host) ([]Entry, error) {
	content, err := h.ReadFile(ctx, JournalDir+"/entries.jsonl")
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
			// A full disk cut it off: what it announces was not done.
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: journal line %d: %w", h, n, err)
		}
		entries = append(entries, e)
	}
	return entries, lines.Err()
}
