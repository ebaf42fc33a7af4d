package report

import (
	"context"
	"io"
	"log/slog"
)

// Log returns a sink that writes everything to w as slog text, for the log
// file of a run.
func Log(w io.Writer) Sink {
	return LogTo(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// LogTo returns a sink that gives each event to a slog handler: what runs
// print and wait for at level debug, failures at error, the rest at info. An
// error of the handler is dropped: a full disk must not end an installation.
func LogTo(handler slog.Handler) Sink {
	return SinkFunc(func(e Event) {
		ctx, level := context.Background(), level(e)
		if !handler.Enabled(ctx, level) {
			return
		}
		record := slog.NewRecord(e.Time, level, string(e.Kind), 0)
		record.AddAttrs(attributes(e)...)
		_ = handler.Handle(ctx, record)
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

// attributes lists what e says, under the names of its JSON form.
func attributes(e Event) []slog.Attr {
	attrs := []slog.Attr{slog.String("run", e.Run)}
	for _, text := range []struct{ name, value string }{
		{"host", e.Host},
		{"phase", e.Phase},
		{"message", e.Message},
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
