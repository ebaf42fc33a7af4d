package standin

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
)

// Kind is what goes wrong with an answer.
type Kind string

// What can go wrong.
const (
	// Stall sends nothing more, and keeps the connection.
	Stall Kind = "stall"
	// Reset resets the TCP connection.
	Reset Kind = "reset"
	// Truncate closes the connection in order, before the end of the body.
	Truncate Kind = "truncate"
	// Status answers with an error.
	Status Kind = "status"
)

// Always is the number of times of a fault that does not end.
const Always = -1

// Fault hurts the answers to the first requests of a URL.
type Fault struct {
	// URL has no scheme: dl.k8s.io/release/v1.36.4/bin/linux/amd64/kubelet.
	URL  string
	Kind Kind
	// After is the number of bytes of the body that come before it.
	After int64
	// Times is how many requests it hurts; Always: all of them.
	Times int
	// Code and RetryAfter, in seconds, are those of a Status.
	Code, RetryAfter int
}

// Inject adds faults. Those of one URL come one after the other.
func (s *Server) Inject(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		s.faults[f.URL] = append(s.faults[f.URL], &f)
	}
}

// Heal ends all faults.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.faults)
}

// Pending lists the faults that have not come as often as they were to.
func (s *Server) Pending() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var pending []string
	for url, faults := range s.faults {
		for _, f := range faults {
			if f.Times > 0 {
				pending = append(pending, fmt.Sprintf("%s of %s: %d times", f.Kind, url, f.Times))
			}
		}
	}
	return pending
}

// fault returns the fault of a request, and counts it.
func (s *Server) fault(url string) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults[url] {
		if f.Times == 0 {
			continue
		}
		if f.Times > 0 {
			f.Times--
		}
		return f
	}
	return nil
}

// hurt wraps a response with a fault.
func (f *Fault) hurt(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	if f.Kind == Status {
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
		}
		http.Error(w, http.StatusText(f.Code), f.Code)
		return nil
	}
	return &hurtWriter{ResponseWriter: w, fault: f, request: r, left: f.After}
}

// hurtWriter writes some bytes of a body, and then does what the fault says.
type hurtWriter struct {
	http.ResponseWriter
	fault   *Fault
	request *http.Request
	left    int64
}

// Write writes what comes before the fault.
func (h *hurtWriter) Write(b []byte) (int, error) {
	if int64(len(b)) <= h.left {
		n, err := h.ResponseWriter.Write(b)
		h.left -= int64(n)
		return n, err
	}
	if _, err := h.ResponseWriter.Write(b[:h.left]); err != nil {
		return 0, err
	}
	_ = http.NewResponseController(h.ResponseWriter).Flush() // the connection is lost anyway
	switch h.fault.Kind {
	case Stall:
		<-h.request.Context().Done() // until the client gives up
	case Reset:
		if c, ok := h.request.Context().Value(connectionKey{}).(*net.TCPConn); ok {
			_ = c.SetLinger(0)
			_ = c.Close()
		}
	}
	panic(http.ErrAbortHandler)
}

// connectionKey is the key of the TCP connection in the context of a request.
type connectionKey struct{}

func withConnection(ctx context.Context, c net.Conn) context.Context {
	if wrapped, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = wrapped.NetConn()
	}
	if named, ok := c.(*tunnel); ok {
		c = named.Conn
	}
	return context.WithValue(ctx, connectionKey{}, c)
}
