package hosttest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// line is a network connection with a latency, which a gate can block.
type line struct {
	gate atomic.Pointer[gate]
}

// gate is open when its channel is closed.
type gate struct {
	passed chan struct{}
	once   sync.Once
}

func closedGate() *gate { return &gate{passed: make(chan struct{})} }

func openGate() *gate {
	g := closedGate()
	g.open()
	return g
}

func (g *gate) open() { g.once.Do(func() { close(g.passed) }) }

// delay returns a connection to front on which each byte arrives later by oneWay.
// It adds latency and does not limit the throughput.
func (l *line) delay(front net.Conn, oneWay time.Duration) net.Conn {
	back, inner := net.Pipe()
	go l.pump(back, front, oneWay)
	go l.pump(front, back, oneWay)
	return inner
}

type packet struct {
	due  time.Time
	data []byte
}

func (l *line) pump(to io.WriteCloser, from io.ReadCloser, oneWay time.Duration) {
	packets := make(chan packet, 4096)
	go func() {
		defer close(packets)
		for {
			data := make([]byte, 32<<10)
			n, err := from.Read(data)
			if n > 0 {
				packets <- packet{time.Now().Add(oneWay), data[:n]}
			}
			if err != nil {
				return
			}
		}
	}()
	failed := false
	for p := range packets {
		if failed {
			continue // Drain, so that the reader ends.
		}
		if wait := time.Until(p.due); wait > 0 {
			<-time.After(wait)
		}
		<-l.gate.Load().passed
		_, err := to.Write(p.data)
		failed = err != nil
		if failed {
			_ = from.Close()
		}
	}
	_ = to.Close()
}
