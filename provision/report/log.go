package report

import (
	"context"
	"io"
	"log/slog"
)

// Log returns a sink that writes all events to w as slog text, for the log file of
// a run: output and waits at level debug, failures at error, the rest at info.
// Write errors are ignored: a full disk must not end an installation.
func Log(w io.Writer) Sink {
	handler := slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})
	return SinkFunc(func(e Event) {
		record := slog.NewRecord(e.Time, level(e), string(e.Kind), 0)
		record.AddAttrs(attributes(e)...)
		_ = handler.Handle(context.Background(), record)
	})
}

func level(e Event) slog.Level {
	switch {
	case e.Error != "":
		return slog.LevelError
	case e.Kind == Output, e.Kind == Waiting:
		return slog.LevelDebug
	default:
		return slog.LevelInfo
	}
}

// attributes returns the fields of e under their JSON names.
func attributes(e Event) []slog.Attr {
	attrs := []slog.Attr{slog.String("run", e.Run)}
	for _, text := range []struct{ name, value string }{
		{"host", e.Host},
		{"phase", e.Phase},
		{"message", e.Message},
		{"diff", e.Diff},
		{"error", e.Error},
		{"command", e.Command},
		{"output", e.Output},
		{"hint", e.Hint},
	} {
		if text.value != "" {
			attrs = append(attrs, slog.String(text.name, text.value))
		}
	}
	if e.Changes != 0 {
		attrs = append(attrs, slog.Int("changes", e.Changes))
	}
	if e.Seconds != 0 {
		attrs = append(attrs, slog.Float64("seconds", e.Seconds))
	}
	return attrs
}
