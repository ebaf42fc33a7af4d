package upgrade

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/retry"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

const (
	// maxCrashes is after how many ends a static pod counts as failed. An API server may end
	// once or twice while etcd starts.
	maxCrashes = 3
	// crashInterval is between two looks at the host.
	crashInterval = 3 * time.Second
)

// crashError says which static pod ends again and again.
type crashError struct {
	component string
	times     int
}

func (e *crashError) Error() string { return fmt.Sprintf("it has ended %d times", e.times) }

// crashes watches static pods on their host. Their kubelet cannot tell the cluster that an
// API server ends again and again if it is its own.
type crashes struct {
	args   []string
	names  []string
	before []int
	last   time.Time
}

// watch begins to watch static pods whose manifests are about to change.
func watch(ctx context.Context, s *workflow.Step, changes []manifestChange, before map[string]string) (*crashes, error) {
	c := &crashes{last: time.Now()}
	for _, change := range changes {
		hash := before[change.component]
		if hash == "" {
			hash = "unknown"
		}
		c.args, c.names = append(c.args, change.component, hash), append(c.names, change.component)
	}
	var err error
	c.before, err = c.count(ctx, s)
	return c, err
}

func (c *crashes) count(ctx context.Context, s *workflow.Step) ([]int, error) {
	res, err := s.Query(ctx, host.Script("restarts.sh", templates.Script("upgrade/restarts.sh"), c.args...))
	if err != nil {
		return nil, err
	}
	var counts []int
	for _, field := range strings.Fields(string(res.Stdout)) {
		n, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("restarts.sh printed %q", field)
		}
		counts = append(counts, n)
	}
	if len(counts) != len(c.names) {
		return nil, fmt.Errorf("restarts.sh printed %d numbers, not %d", len(counts), len(c.names))
	}
	return counts, nil
}

// check returns a *crashError if one of the static pods ends again and again.
func (c *crashes) check(ctx context.Context, s *workflow.Step) error {
	if time.Since(c.last) < crashInterval {
		return nil
	}
	c.last = time.Now()
	now, err := c.count(ctx, s)
	if err != nil {
		return nil // the host is asked again
	}
	for i, n := range now {
		if times := n - c.before[i]; times >= maxCrashes {
			return &crashError{c.names[i], times}
		}
	}
	return nil
}

// unless returns a condition that ends with an error when a static pod ends again and again.
func (c *crashes) unless(s *workflow.Step, condition kube.Condition) kube.Condition {
	check := condition.Check
	condition.Check = func(ctx context.Context, client *kube.Client) (bool, string, error) {
		done, seen, err := check(ctx, client)
		if done {
			return done, seen, err
		}
		if crash := c.check(ctx, s); crash != nil {
			return false, "", retry.Stop(crash)
		}
		return done, seen, err
	}
	return condition
}

// blame returns the static pod that an error of a wait is about.
func blame(component string, err error) string {
	var crash *crashError
	if errors.As(err, &crash) {
		return crash.component
	}
	return component
}
