package contextio_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"slipway.io/slipway/provision/contextio"
)

func TestReaderReadsUntilTheEnd(t *testing.T) {
	t.Parallel()
	got, err := io.ReadAll(contextio.NewReader(t.Context(), strings.NewReader("content")))
	if err != nil || string(got) != "content" {
		t.Errorf("got %q, %v; want the whole content and no error", got, err)
	}
}

func TestReaderFailsOnceTheContextIsDone(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	r := contextio.NewReader(ctx, strings.NewReader("content"))
	first := make([]byte, 3)
	if _, err := io.ReadFull(r, first); err != nil {
		t.Fatal(err)
	}
	cancel()
	if n, err := r.Read(first); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("got %d bytes, %v; want none and %v", n, err, context.Canceled)
	}
}
