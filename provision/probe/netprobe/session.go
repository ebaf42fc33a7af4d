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

// Program is the name of the agent's process on a host, by which the facts show it
// while it listens.
const Program = "slipway-probe"

// session is an agent that runs on a node.
type session struct {
	node  Node
	stdin *io.PipeWriter
	// lines receives the messages of the agent. It is closed when the agent ends.
	lines chan []byte
	// ended receives the error of the agent, nil if it exited with 0.
	ended chan error
}

// start uploads the agent to the node and runs it there. The agent ends with its
// input or with the context.
func start(ctx context.Context, node Node, p program) *session {
	in, out := io.Pipe()
	s := &session{node: node, stdin: out, lines: make(chan []byte, 4), ended: make(chan error, 1)}
	cmd := host.Cmd{
		Name: "probe",
		Argv: []string{
			"sh", "-c", string(templates.Script("preflight/probe.sh")), Program,
			strconv.Itoa(len(p.content)), p.sha256,
		},
		Stdin:  io.MultiReader(bytes.NewReader(p.content), in),
		Sudo:   true,
		Output: &splitter{lines: s.lines},
	}
	go func() {
		_, err := node.Host.Query(ctx, cmd)
		_ = in.CloseWithError(io.ErrClosedPipe)
		s.ended <- withoutScript(err)
		close(s.lines)
	}()
	return s
}

// withoutScript shortens the error of a command: it is a whole script.
func withoutScript(err error) error {
	var exit *host.ExitError
	if errors.As(err, &exit) {
		return errors.New(exit.Ending())
	}
	return err
}

// send sends a message to the agent.
func (s *session) send(message any) error {
	line, err := json.Marshal(message)
	if err != nil {
		return err
	}
	_, err = s.stdin.Write(append(line, '\n'))
	return err
}

// receive waits for the agent's next message.
func (s *session) receive(ctx context.Context, message any) error {
	select {
	case line, ok := <-s.lines:
		if !ok {
			return s.failure()
		}
		return json.Unmarshal(line, message)
	case <-ctx.Done():
		return fmt.Errorf("no answer: %w", context.Cause(ctx))
	}
}

// failure returns the reason why a session ended too early.
func (s *session) failure() error {
	err := <-s.ended
	s.ended <- err
	if err == nil {
		return errors.New("the probe ended too early")
	}
	return err
}

// close ends the input of the agent and waits until the agent has ended.
func (s *session) close(ctx context.Context) {
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

// splitter sends each line of JSON that is written to it to a channel.
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
			default: // an agent sends two messages: this is not one
			}
		}
	}
}
