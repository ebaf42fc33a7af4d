package plan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"slipway.io/slipway/provision/diff"
	"slipway.io/slipway/provision/host"
)

// Diff returns what WriteFiles would change of a file or directory: its type, mode
// and owner, and the lines of its content.
func (p *planning) Diff(ctx context.Context, file host.File) (string, error) {
	have, err := p.stat(ctx, file)
	exists := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s: compare %s: %w", p, file.Path, err)
	}
	lines := attributes(have, file, exists)
	if file.Mode.IsDir() {
		return strings.Join(lines, "\n"), nil
	}
	var before []byte
	if exists && have.Mode.IsRegular() {
		before, err = p.Host.ReadFile(ctx, file.Path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if err == nil && before == nil {
			before = []byte{}
		}
	}
	show := diff.Text
	if file.Secret {
		show = diff.Hidden
	}
	if content := show(before, file.Content); content != "" {
		lines = append(lines, content)
	}
	return strings.Join(lines, "\n"), nil
}

// stat returns the file that exists at the path. Of a host that is no host.Stater,
// it returns the attributes of the new file.
func (p *planning) stat(ctx context.Context, file host.File) (host.File, error) {
	if stater, ok := p.Host.(host.Stater); ok {
		return stater.Stat(ctx, file.Path)
	}
	file.Mode = file.Mode.Type() | file.Perm()
	return file, nil
}

// attributes returns a line for the type, the mode and the owner each, if they
// change, or if those of a new file are not the usual ones.
func attributes(have, want host.File, exists bool) []string {
	if !exists {
		have = host.File{Mode: want.Mode.Type()}
		have.Mode |= have.Perm()
	}
	var lines []string
	if have.Mode.Type() != want.Mode.Type() {
		lines = append(lines, fmt.Sprintf("type %s → %s", typeOf(have.Mode), typeOf(want.Mode)))
	}
	add := func(what, before, after string) {
		switch {
		case before == after:
		case exists:
			lines = append(lines, fmt.Sprintf("%s %s → %s", what, before, after))
		default:
			lines = append(lines, what+" "+after)
		}
	}
	add("mode", fmt.Sprintf("%04o", have.Mode.Perm()), fmt.Sprintf("%04o", want.Perm()))
	if have.UID >= 0 && have.GID >= 0 {
		add("owner", fmt.Sprintf("%d:%d", have.UID, have.GID), fmt.Sprintf("%d:%d", want.UID, want.GID))
	}
	return lines
}

func typeOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "directory"
	case mode.IsRegular():
		return "file"
	case mode&fs.ModeSymlink != 0:
		return "symbolic link"
	default:
		return "special file"
	}
}
