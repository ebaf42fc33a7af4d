package netprobe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/templates"
)

// session is a probe at work on a node.
type session struct {
	node  Node
	stdin *io.PipeWriter
	// lines receives what the probe says; it is closed with the session.
	lines chan []byte
	// ended receives why the session ended; nil if all went well.
	ended chan error
}

// start brings the probe to the node and runs it there. It ends with its
// input, or with the context.
func start(ctx context.Context, node Node, p program) *session {
	in, out := io.Pipe()
	s := &session{node: node, stdin: out, lines: make(chan []byte, 4), ended: make(chan error, 1)}
	cmd := host.Cmd{
		Name: "probe",
		Argv: []string{
			"sh", "-c", string(templates.Script("preflight/probe.sh")), "slipway-probe",
			strconv.Itoa(len(p.content)), p.sha256,
		},
		Stdin:  io.MultiReader(bytes.NewReader(p.content), in),
		Sudo:   true,
		Output: &splitter{lines: s.lines},
	}
	go func() {
		_, err := node.Host.Query(ctx, cmd)
		_ = in.CloseWithError(io.ErrClosedPipe)
		s.ended <- inShort(err)
		close(s.lines)
	}()
	return s
}

// inShort leaves the script out of an error: what it said last is enough.
func inShort(err error) error {
	var exit *host.ExitError
	if errors.As(err, &exit) {
		return errors.New(exit.Ending())
	}
	return err
}

// say sends a message to the probe.
func (s *session) say(message any) error {
	line, err := json.Marshal(message)
	if err != nil {
		return err
	}
	_, err = s.stdin.Write(append(line, '\n'))
	return err
}

// hear waits for the probe's next message.
func (s *session) hear(ctx context.Context, message any) error {
	select {
	case line, ok := <-s.lines:
		if !ok {
			return s.why()
		}
		return json.Unmarshal(line, message)
	case <-ctx.Done():
		return fmt.Errorf("no answer: %w", context.Cause(ctx))
	}
}

// why is the reason for the end of a session that was to go on.
func (s *session) why() error {
	err := <-s.ended
	s.ended <- err
	if err == nil {
		return errors.New("the probe ended early")
	}
	return err
}

// end lets the probe end, and waits for that.
func (s *session) end(ctx context.Context) {
	_ = s.stdin.Close()
	for {
		select {
		case _, ok := <-s.lines:
			if !ok {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// splitter passes the JSON lines of what is written to it on.
type splitter struct {
	mu    sync.Mutex
	rest  []byte
	lines chan<- []byte
}

func (s *splitter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest = append(s.rest, p...)
	for {
		line, rest, ok := bytes.Cut(s.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		s.rest = bytes.Clone(rest)
		if bytes.HasPrefix(line, []byte("{")) {
			select {
			case s.lines <- bytes.Clone(line):
			default: // a probe says two things; who says more is none
			}
		}
	}
}
