package netprobe

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"slipway.io/slipway/provision/probe/netprobe/wire"
)

// Options of Probe.
type Options struct {
	// Timeout limits each attempt to reach a port. Default 1.5 s.
	Timeout time.Duration
	// Ask lists addresses that each node resolves by ARP.
	Ask []netip.Addr
	// Routers makes each node listen for VRRP advertisements.
	Routers bool

	// program returns the agent for an architecture; nil is embeddedProgram.
	program func(arch string) (program, error)
}

const (
	// readyTimeout limits the upload and start of the agents.
	readyTimeout = 20 * time.Second
	// measureTimeout limits the measurement itself.
	measureTimeout = 60 * time.Second
)

// Probe measures the needs between all nodes in parallel. A node that cannot
// take part is listed in Matrix.Absent, and the other nodes are measured without
// it. The error is ErrNoProbe if there is no agent for any of the nodes, or the
// cause of the context's end.
func Probe(ctx context.Context, nodes []Node, needs []Need, o Options) (*Matrix, error) {
	if o.Timeout == 0 {
		o.Timeout = 1500 * time.Millisecond
	}
	if o.program == nil {
		o.program = embeddedProgram
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout+measureTimeout)
	defer cancel()
	run := &run{nodes: nodes, needs: needs, options: o, matrix: &Matrix{Needs: needs, Absent: map[string]string{}}, busy: map[string][]wire.Port{}}
	sessions, err := run.start(ctx)
	if err != nil {
		return nil, err
	}
	outcomes := run.tasks(ctx, sessions)
	var wait sync.WaitGroup
	for _, s := range sessions {
		wait.Go(func() { s.close(ctx) })
	}
	wait.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	run.collect(outcomes)
	return run.matrix, nil
}

// run is one measurement.
type run struct {
	nodes   []Node
	needs   []Need
	options Options

	mu     sync.Mutex
	matrix *Matrix
	// busy holds, by node, the ports that other programs use.
	busy map[string][]wire.Port
}

func (r *run) absent(node string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.matrix.Absent[node] = strings.TrimPrefix(err.Error(), node+": ")
}

// start starts an agent on each node, and returns the sessions of those that
// listen.
func (r *run) start(ctx context.Context) ([]*session, error) {
	ready, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	sessions := make([]*session, len(r.nodes))
	missing := 0
	var wait sync.WaitGroup
	for i, node := range r.nodes {
		p, err := r.options.program(node.Arch)
		if err != nil {
			if missing++; missing == len(r.nodes) {
				return nil, err
			}
			r.absent(node.Name, err)
			continue
		}
		wait.Go(func() {
			s := start(ctx, node, p)
			if err := r.greet(ready, s); err != nil {
				r.absent(node.Name, err)
				s.close(ready)
				return
			}
			sessions[i] = s
		})
	}
	wait.Wait()
	return slices.DeleteFunc(sessions, func(s *session) bool { return s == nil }), nil
}

// greet sends the Hello message and waits for the answer.
func (r *run) greet(ctx context.Context, s *session) error {
	// In the background, because an agent that never reads would block it.
	sent := make(chan error, 1)
	go func() {
		sent <- s.send(wire.Hello{Name: s.node.Name, IP: s.node.IP, Listen: r.portsOf(s.node.Name)})
	}()
	var ready wire.Ready
	if err := s.receive(ctx, &ready); err != nil {
		return err
	}
	if err := <-sent; err != nil {
		return err
	}
	if ready.Error != "" {
		return errors.New(ready.Error)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy[s.node.Name] = ready.Busy
	return nil
}

// portsOf returns the ports on which a node has to listen.
func (r *run) portsOf(node string) []wire.Port {
	var ports []wire.Port
	for _, need := range r.needs {
		port := wire.Port{Protocol: string(need.Protocol), Number: need.Port}
		if slices.Contains(need.To, node) && !slices.Contains(ports, port) {
			ports = append(ports, port)
		}
	}
	return ports
}

// tasks sends each agent its task, and returns the outcomes by node.
func (r *run) tasks(ctx context.Context, sessions []*session) map[string]wire.Outcome {
	outcomes := map[string]wire.Outcome{}
	var wait sync.WaitGroup
	for _, s := range sessions {
		wait.Go(func() {
			var outcome wire.Outcome
			err := s.send(r.task(s.node, sessions))
			if err == nil {
				err = s.receive(ctx, &outcome)
			}
			if err != nil {
				r.absent(s.node.Name, err)
				return
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			outcomes[s.node.Name] = outcome
		})
	}
	wait.Wait()
	return outcomes
}

// task returns what a node has to measure.
func (r *run) task(node Node, sessions []*session) wire.Task {
	task := wire.Task{Timeout: r.options.Timeout, Ask: r.options.Ask, Disk: node.DiskPath}
	if r.options.Routers {
		task.Routers = node.IP
	}
	for _, s := range sessions {
		if s.node.Name == node.Name {
			continue
		}
		peer := wire.Peer{Name: s.node.Name, IP: s.node.IP, MTU: min(node.MTU, s.node.MTU)}
		for _, need := range r.needs {
			if !slices.Contains(need.From, node.Name) || !slices.Contains(need.To, s.node.Name) {
				continue
			}
			port := wire.Port{Protocol: string(need.Protocol), Number: need.Port}
			peer.Ports = append(peer.Ports, port)
			if need.Protocol == UDP && peer.MTUPort == 0 && !slices.Contains(r.busy[s.node.Name], port) {
				peer.MTUPort = need.Port
			}
		}
		task.Peers = append(task.Peers, peer)
	}
	return task
}

// collect adds the outcomes to the matrix, in the order of the nodes.
func (r *run) collect(outcomes map[string]wire.Outcome) {
	index := map[string]int{}
	byName := map[string]Node{}
	for i, node := range r.nodes {
		index[node.Name], byName[node.Name] = i, node
	}
	m := r.matrix
	for _, from := range r.nodes {
		outcome, ok := outcomes[from.Name]
		if !ok {
			continue
		}
		for _, seen := range outcome.Links {
			m.Links = append(m.Links, r.link(from.Name, seen))
		}
		for _, seen := range outcome.Paths {
			m.Paths = append(m.Paths, Path{
				From: from.Name, To: seen.Peer, MTU: seen.MTU, Wanted: min(from.MTU, byName[seen.Peer].MTU), RoundTrip: seen.RoundTrip,
			})
		}
		for _, seen := range outcome.Neighbours {
			m.Neighbours = append(m.Neighbours, Neighbour{Node: from.Name, Address: seen.Address, MAC: seen.MAC})
		}
		for _, heard := range outcome.Routers {
			m.Routers = append(m.Routers, Router{Node: from.Name, Address: heard.Address, ID: heard.ID})
		}
		if outcome.Disk != nil {
			m.Disks = append(m.Disks, Disk{Node: from.Name, Path: from.DiskPath, P99: outcome.Disk.P99, Writes: outcome.Disk.Writes, Error: outcome.Disk.Error})
		}
	}
	slices.SortStableFunc(m.Links, func(a, b Link) int {
		return cmp.Or(cmp.Compare(index[a.From], index[b.From]), cmp.Compare(index[a.To], index[b.To]),
			cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol))
	})
	slices.SortStableFunc(m.Paths, func(a, b Path) int {
		return cmp.Or(cmp.Compare(index[a.From], index[b.From]), cmp.Compare(index[a.To], index[b.To]))
	})
}

// link is the result of a connection, corrected by what the agent at the other
// end reported.
func (r *run) link(from string, seen wire.Link) Link {
	l := Link{
		From: from, To: seen.Peer, Protocol: Protocol(seen.Port.Protocol), Port: seen.Port.Number,
		Status: Status(seen.Status), Detail: seen.Detail, SeenAs: seen.SeenAs,
	}
	busy := slices.Contains(r.busy[seen.Peer], seen.Port)
	switch {
	case busy && l.Protocol == UDP:
		l.Status, l.Detail = Occupied, "something else uses the port"
	case seen.Status == wire.Reached && seen.Answered == "" && busy:
		l.Detail = "something else listens there"
	case seen.Status == wire.Reached && seen.Answered == "":
		l.Status, l.Detail = Elsewhere, "what answers is not "+seen.Peer
	case seen.Status == wire.Reached && seen.Answered != seen.Peer:
		l.Status, l.Detail = Elsewhere, seen.Answered
	}
	return l
}
