package workflow

import "context"

// lane is what bulk phases of all machines but the first control plane pass
// through, one at a time, until that one has been served.
type lane struct {
	first  *Machine
	served chan struct{}
	turn   chan struct{}
}

func newLane(nodes []*node, first *Machine) *lane {
	l := &lane{first: first, served: make(chan struct{}), turn: make(chan struct{}, 1)}
	go func() {
		defer close(l.served)
		for _, n := range nodes {
			if n.phase.Bulk && n.machine == first {
				<-n.done
			}
		}
	}()
	return l
}

// enter waits for n's turn; leave gives the turn to the next one.
func (l *lane) enter(ctx context.Context, n *node) (leave func(), err error) {
	if !n.phase.Bulk || n.machine == l.first {
		return func() {}, nil
	}
	select {
	case <-l.served:
		return func() {}, nil
	default:
	}
	select {
	case <-l.served:
		return func() {}, nil
	case l.turn <- struct{}{}:
		return func() { <-l.turn }, nil
	case <-ctx.Done():
		return nil, errSkipped
	}
}
