package workflow

import (
	"fmt"
	"slices"
	"strings"
)

// task is one phase on one host.
type task struct {
	phase Phase
	host  *Host // nil on localhost
	// needs must succeed before the task starts; after must only have finished.
	needs, after []*task
	turn         *turn         // nil without a roll
	queue        chan struct{} // holds the host at a phase that is OneAtATime; else nil
	skip         bool          // the selection or the inventory leaves it out: it counts as done
	done         chan struct{}
	err          error // set before done is closed
}

// String is "phase host".
func (t *task) String() string { return strings.TrimSpace(t.phase.Name + " " + t.host.name()) }

// build returns the graph of the workflow's tasks, in the order of the phases. The
// observed tasks have run: places may select hosts by what they observed.
func (r *Run) build(w Workflow, observed []*task) ([]*task, error) {
	if err := r.Selection.Check(w, r.Hosts.known()); err != nil {
		return nil, err
	}
	tasks := slices.Clone(observed)
	byPhase := map[string][]*task{}
	for _, t := range observed {
		byPhase[t.phase.Name] = append(byPhase[t.phase.Name], t)
	}
	earlier := map[string]bool{}
	for _, phase := range w.Phases {
		if earlier[phase.Name] {
			return nil, fmt.Errorf("workflow %s: two phases are called %s", w.Name, phase.Name)
		}
		for _, name := range slices.Concat(phase.Needs, phase.NeedsAll) {
			if !earlier[name] {
				return nil, fmt.Errorf("workflow %s: phase %s needs %s, which is not an earlier phase", w.Name, phase.Name, name)
			}
		}
		earlier[phase.Name] = true
		if len(byPhase[phase.Name]) > 0 {
			continue // observed
		}
		var queue chan struct{}
		if phase.OneAtATime {
			queue = make(chan struct{}, 1)
		}
		for _, h := range phase.On.Hosts(r.Hosts) {
			t := &task{phase: phase, host: h, queue: queue, done: make(chan struct{})}
			if err := t.link(byPhase); err != nil {
				return nil, fmt.Errorf("workflow %s: %w", w.Name, err)
			}
			byPhase[phase.Name] = append(byPhase[phase.Name], t)
			tasks = append(tasks, t)
		}
	}
	r.Selection.leaveOut(w, tasks, r.Cluster)
	sendToSeedFirst(tasks, r.Hosts.Seed())
	if err := takeTurns(tasks, r.Hosts, r.Batch); err != nil {
		return nil, fmt.Errorf("workflow %s: %w", w.Name, err)
	}
	return tasks, nil
}

// observing returns the tasks that come before the first one that changes
// something.
func observing(tasks []*task) []*task {
	first := slices.IndexFunc(tasks, func(t *task) bool { return !t.phase.ReadOnly })
	if first < 0 {
		return tasks
	}
	return tasks[:first]
}

// link adds what the task needs, of the tasks of earlier phases.
func (t *task) link(earlier map[string][]*task) error {
	for _, name := range slices.Concat(t.phase.Needs, t.phase.NeedsAll) {
		everywhere := slices.Contains(t.phase.NeedsAll, name)
		for _, other := range earlier[name] {
			if t.host == nil && !everywhere && !other.phase.On.Once() {
				return fmt.Errorf("phase %s runs on localhost: list %s in NeedsAll", t.phase.Name, name)
			}
			if everywhere || other.phase.On.Once() || other.host == t.host {
				t.needs = append(t.needs, other)
			}
		}
	}
	return nil
}

// sendToSeedFirst starts the bulk phases of other hosts when the seed has
// finished its own. Those that run etcd do not wait: the seed needs them.
func sendToSeedFirst(tasks []*task, seed *Host) {
	var first []*task
	for _, t := range tasks {
		if t.phase.Bulk && t.host == seed {
			first = append(first, t)
		}
	}
	for _, t := range tasks {
		if t.phase.Bulk && t.host != seed && (t.host == nil || !t.host.isEtcdHost()) {
			t.after = first
		}
	}
}
