package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// Comparer is a Host that can compare a file in fewer round trips than Differs
// needs by itself.
type Comparer interface {
	// Differs says whether WriteFile would change something.
	Differs(ctx context.Context, file File) (bool, error)
}

// Differs says whether WriteFile would change something on the machine. It
// changes nothing.
func Differs(ctx context.Context, h Host, file File) (bool, error) {
	if c, ok := h.(Comparer); ok {
		return c.Differs(ctx, file)
	}
	res, err := h.Query(ctx, Cmd{Argv: []string{"stat", "-c", "%F %a %u %g", "--", file.Path}, Sudo: true})
	var exit *ExitError
	if errors.As(err, &exit) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	kind, want := "regular", fmt.Sprintf("%o %d %d", file.Perm(), file.UID, file.GID)
	if file.Mode.IsDir() {
		kind = "directory"
	}
	have := strings.TrimSpace(string(res.Stdout))
	if !strings.HasPrefix(have, kind) || !strings.HasSuffix(have, " "+want) {
		return true, nil
	}
	if file.Mode.IsDir() {
		return false, nil
	}
	content, err := h.ReadFile(ctx, file.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return !bytes.Equal(content, file.Content), err
}

// Perm is the file's permission bits, with the default of its kind filled in.
func (f File) Perm() fs.FileMode {
	switch perm := f.Mode.Perm(); {
	case perm != 0:
		return perm
	case f.Mode.IsDir():
		return 0o755
	default:
		return 0o644
	}
}
