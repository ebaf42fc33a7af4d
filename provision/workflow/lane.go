package workflow

import "context"

// lane is what bulk phases of all machines but the first control plane wait
// for: that one's. They share the installer's uplink with it, and everything
// waits for it in the end.
type lane struct {
	first  *Machine
	served chan struct{}
}

func newLane(nodes []*node, first *Machine) *lane {
	l := &lane{first: first, served: make(chan struct{})}
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

// enter waits for n's turn.
func (l *lane) enter(ctx context.Context, n *node) error {
	if !n.phase.Bulk || n.machine == l.first {
		return nil
	}
	select {
	case <-l.served:
		return nil
	case <-ctx.Done():
		return errSkipped
	}
}
