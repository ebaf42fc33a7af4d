package bundle

import (
	"errors"
	"testing"
	"time"
)

func TestTheMeterSumsUpAllDownloads(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	m := &Meter{now: func() time.Time { return now }}
	const mb = 1_000_000
	steps := []struct {
		after time.Duration
		p     Progress
		want  string
	}{
		{0, Progress{Waiting: errors.New("another process")}, "0.0 of 0.0 MB"},
		{0, Progress{Name: "old", Bytes: 7 * mb, Total: 7 * mb, Cached: true, Done: true, More: true}, "0.0 of at least 0.0 MB"},
		// It resumes: what was there before did not come now.
		{0, Progress{Name: "a", Bytes: 10 * mb, Total: 30 * mb, More: true}, "10.0 of at least 30.0 MB"},
		{2 * time.Second, Progress{Name: "a", Bytes: 14 * mb, Total: 30 * mb, More: true}, "14.0 of at least 30.0 MB, 2.0 MB/s, at least 8s left"},
		{0, Progress{Name: "b", Total: 20 * mb}, "14.0 of 50.0 MB, 2.0 MB/s, 18s left"},
		{0, Progress{Name: "a", Retrying: errors.New("lost")}, "14.0 of 50.0 MB, 2.0 MB/s, 18s left"},
		{8 * time.Second, Progress{Name: "b", Bytes: 20 * mb, Total: 20 * mb, Done: true}, "34.0 of 50.0 MB, 2.4 MB/s, 7s left"},
		// The rate is that of the last seconds.
		{time.Minute, Progress{Name: "a", Bytes: 14 * mb, Total: 30 * mb}, "34.0 of 50.0 MB"},
		{2 * time.Second, Progress{Name: "a", Bytes: 30 * mb, Total: 30 * mb}, "50.0 of 50.0 MB, 8.0 MB/s"},
	}
	for i, step := range steps {
		now = now.Add(step.after)
		m.Add(step.p)
		if got := m.String(); got != step.want {
			t.Errorf("step %d: got %q, want %q", i, got, step.want)
		}
	}
}
