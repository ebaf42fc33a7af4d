package host

import (
	"context"
	"fmt"
	"net"
	"sync"
)

// Connected is a Host with a connection to close.
type Connected interface {
	Host
	Close() error
}

// Lazy is a Host that connects when it is first needed. A connection that
// could not be made is tried again with the next call.
type Lazy struct {
	name    string
	connect func(context.Context) (Connected, error)

	mu   sync.Mutex
	host Connected
}

// NewLazy makes a Host of that name that connect connects.
func NewLazy(name string, connect func(context.Context) (Connected, error)) *Lazy {
	return &Lazy{name: name, connect: connect}
}

// String is the name.
func (l *Lazy) String() string { return l.name }

func (l *Lazy) get(ctx context.Context) (Connected, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.host == nil {
		host, err := l.connect(ctx)
		if err != nil {
			return nil, err
		}
		l.host = host
	}
	return l.host, nil
}

// Close closes the connection if there is one.
func (l *Lazy) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.host == nil {
		return nil
	}
	return l.host.Close()
}

// Query is that of the connected host.
func (l *Lazy) Query(ctx context.Context, cmd Cmd) (Result, error) {
	h, err := l.get(ctx)
	if err != nil {
		return Result{}, err
	}
	return h.Query(ctx, cmd)
}

// Run is that of the connected host.
func (l *Lazy) Run(ctx context.Context, cmd Cmd) (Result, error) {
	h, err := l.get(ctx)
	if err != nil {
		return Result{}, err
	}
	return h.Run(ctx, cmd)
}

// ReadFile is that of the connected host.
func (l *Lazy) ReadFile(ctx context.Context, path string) ([]byte, error) {
	h, err := l.get(ctx)
	if err != nil {
		return nil, err
	}
	return h.ReadFile(ctx, path)
}

// Differs is that of the connected host.
func (l *Lazy) Differs(ctx context.Context, files ...File) ([]File, error) {
	h, err := l.get(ctx)
	if err != nil {
		return nil, err
	}
	return h.Differs(ctx, files...)
}

// WriteFiles is that of the connected host.
func (l *Lazy) WriteFiles(ctx context.Context, files ...File) error {
	h, err := l.get(ctx)
	if err != nil {
		return err
	}
	return h.WriteFiles(ctx, files...)
}

// Upload is that of the connected host.
func (l *Lazy) Upload(ctx context.Context, blobs ...Blob) error {
	h, err := l.get(ctx)
	if err != nil {
		return err
	}
	return h.Upload(ctx, blobs...)
}

// DialContext is that of the connected host, if it is a Dialer.
func (l *Lazy) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	h, err := l.get(ctx)
	if err != nil {
		return nil, err
	}
	d, ok := h.(Dialer)
	if !ok {
		return nil, fmt.Errorf("%s: no connections can be made through it", l.name)
	}
	return d.DialContext(ctx, network, addr)
}
