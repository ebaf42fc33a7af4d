package bundle

import (
	"fmt"
	"sync"
	"time"
)

// window is the time over which a Meter measures the rate.
const window = 15 * time.Second

// Meter sums up the progress of all downloads. It is safe for concurrent use. The zero
// value is ready.
type Meter struct {
	mu    sync.Mutex
	files map[string]Progress
	more  bool
	// received counts the bytes that came; samples are those of the window.
	received int64
	samples  []sample
	now      func() time.Time
}

type sample struct {
	at       time.Time
	received int64
}

// Add adds a report. What was in the cache does not count.
func (m *Meter) Add(p Progress) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.more = p.More
	if p.Name == "" || p.Cached || p.Retrying != nil || p.Waiting != nil {
		return
	}
	if m.files == nil {
		m.files = map[string]Progress{}
	}
	before, known := m.files[p.Name]
	m.files[p.Name] = p
	if known && p.Bytes > before.Bytes {
		m.received += p.Bytes - before.Bytes
	}
	m.sample()
}

// sample records what has come, a few times in a second.
func (m *Meter) sample() {
	now := m.time()
	if n := len(m.samples); n > 0 && now.Sub(m.samples[n-1].at) < window/50 {
		return
	}
	m.samples = append(m.samples, sample{now, m.received})
	for len(m.samples) > 2 && now.Sub(m.samples[0].at) > window {
		m.samples = m.samples[1:]
	}
}

func (m *Meter) time() time.Time {
	if m.now != nil {
		return m.now()
	}
	return time.Now()
}

// String returns the sizes, the rate and the time left: "120.3 of 512.4 MB, 11.2 MB/s,
// 35s left". The sizes of downloads that have not begun are not known.
func (m *Meter) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var done, total int64
	for _, p := range m.files {
		done += p.Bytes
		total += max(p.Total, p.Bytes)
	}
	least := ""
	if m.more {
		least = "at least "
	}
	text := fmt.Sprintf("%.1f of %s%.1f MB", megabytes(done), least, megabytes(total))
	rate := m.rate()
	if rate <= 0 {
		return text
	}
	text += fmt.Sprintf(", %.1f MB/s", rate/1e6)
	if left := time.Duration(float64(total-done) / rate * float64(time.Second)); total > done {
		text += fmt.Sprintf(", %s%s left", least, left.Round(time.Second))
	}
	return text
}

// rate returns bytes per second.
func (m *Meter) rate() float64 {
	if len(m.samples) == 0 {
		return 0
	}
	first := m.samples[0]
	seconds := m.time().Sub(first.at).Seconds()
	if seconds <= 0 {
		return 0
	}
	return float64(m.received-first.received) / seconds
}

func megabytes(n int64) float64 { return float64(n) / 1e6 }
