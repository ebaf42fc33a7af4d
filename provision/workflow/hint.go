package workflow

import "errors"

// hinted is an error with what to do about it.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// WithHint adds to an error what the reader can do next.
func WithHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return hinted{err, hint}
}

// Hint returns the innermost hint of an error; empty if there is none.
func Hint(err error) string {
	hint := ""
	for {
		var h hinted
		if !errors.As(err, &h) {
			return hint
		}
		hint, err = h.hint, h.error
	}
}
