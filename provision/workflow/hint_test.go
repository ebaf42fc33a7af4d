package workflow

import (
	"errors"
	"fmt"
	"testing"
)

func TestHintIsTheInnermost(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"no error", WithHint(nil, "nothing"), ""},
		{"no hint", cause, ""},
		{"a hint", WithHint(cause, "do it"), "do it"},
		{"a hint that was wrapped", fmt.Errorf("on w1: %w", WithHint(cause, "do it")), "do it"},
		{"two hints", WithHint(fmt.Errorf("on w1: %w", WithHint(cause, "do it")), "do more"), "do it"},
		{"a hint among joined errors", errors.Join(cause, WithHint(cause, "do it")), "do it"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := Hint(test.err); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if test.err != nil && !errors.Is(test.err, cause) {
				t.Error("the cause is lost")
			}
		})
	}
}
