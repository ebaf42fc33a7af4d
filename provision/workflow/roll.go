package workflow

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// Roll changes hosts in turns, so that the cluster keeps working while they
// change. The phases that point to the same Roll are a host's turn:
//
//	workers := &workflow.Roll{Name: "workers", Disruptive: upgrade.Disruptive}
//	drain := workflow.Phase{Name: "drain", On: workflow.Workers, Roll: workers, OnDisruption: true, …}
//	upgrade := workflow.Phase{Name: "upgrade", On: workflow.Workers, Roll: workers, …}
//	uncordon := workflow.Phase{Name: "uncordon", On: workflow.Workers, Roll: workers, OnDisruption: true, …}
//
// Within a turn the phases run one after another. Hosts take their turns in
// batches: the seed comes first, the others follow in the order of the
// inventory (or see Order). A batch starts when every turn of the batch before it has
// succeeded. A failure therefore stops the roll: the turns of the batch finish,
// and the remaining hosts are not touched. Other rolls, and phases outside of
// the roll, continue.
//
// A roll follows another one if its first phase lists the last phase of the
// other one in NeedsAll.
type Roll struct {
	// Name identifies the roll in messages.
	Name string
	// Batch is how many hosts take their turn at the same time: a number, or a
	// percentage of the hosts of the run that have a turn, rounded down and at
	// least 1. The zero value is Run.Batch.
	Batch intstr.IntOrString
	// Order sorts the turns by the number that it returns for each host, in front of the
	// order of the inventory. It is called when the facts and the state of the cluster are
	// known. Nil: the seed comes first.
	Order func(*Hosts, *Host) int
	// Disruptive is called once when a host's turn starts, and reports whether
	// its phases are going to disrupt the workloads of the host. If they are not,
	// the phases with OnDisruption do not run; the others do, and usually find
	// that there is nothing to do. Nil: every turn is disruptive.
	//
	// In a plan, an answer that depends on a recorded change counts as true.
	Disruptive func(context.Context, *Step) (bool, error)
	// Moved is called with the number of pods that a drain has moved away from a
	// host, for figures. It is called by several hosts at the same time. Nil: nobody
	// counts.
	Moved func(host string, pods int)
}

// Disruptive reports whether the turn of the step's host in its roll is disruptive.
// Outside of a roll it is false.
func (s *Step) Disruptive() bool { return s.turn != nil && s.turn.disruptive }

// defaultBatch is the batch size of rolls if neither they nor the run set one.
var defaultBatch = intstr.FromString("10%")

// ParseBatch parses the size of a batch: a number of hosts, or a percentage from 1% to 100%.
// Empty text is the zero value.
func ParseBatch(text string) (intstr.IntOrString, error) {
	if text == "" {
		return intstr.IntOrString{}, nil
	}
	size := intstr.Parse(text)
	n, err := intstr.GetScaledValueFromIntOrPercent(&size, 100, false)
	if err != nil || n < 1 || size.Type == intstr.String && n > 100 {
		return size, fmt.Errorf("%s: use a number such as 2, or a percentage such as 10%%", text)
	}
	return size, nil
}

// batch returns the number of hosts in a batch, of those that have a turn.
func (r *Roll) batch(run intstr.IntOrString, turns int) (int, error) {
	size := cmp.Or(r.Batch, run, defaultBatch)
	n, err := intstr.GetScaledValueFromIntOrPercent(&size, turns, false)
	if err != nil {
		return 0, fmt.Errorf("roll %s: batch %s: use a number or a percentage such as 10%%", r.Name, size.String())
	}
	return max(n, 1), nil
}

// turn is what a roll does on one host. Its tasks run one after another, so
// that only one of them at a time uses these fields.
type turn struct {
	roll  *Roll
	host  *Host
	tasks []*task
	// planned is set when disruptive is known.
	planned, disruptive bool
}

// takeTurns links the tasks of each roll: those of a turn, and each batch to
// the one before it.
func takeTurns(tasks []*task, hosts *Hosts, batch intstr.IntOrString) error {
	var rolls []*Roll
	turns := map[*Roll][]*turn{}
	for _, t := range tasks {
		roll := t.phase.Roll
		if roll == nil {
			continue
		}
		if t.host == nil {
			return fmt.Errorf("phase %s runs on localhost, which has no turn in roll %s", t.phase.Name, roll.Name)
		}
		if turns[roll] == nil {
			rolls = append(rolls, roll)
		}
		i := slices.IndexFunc(turns[roll], func(other *turn) bool { return other.host == t.host })
		if i < 0 {
			i = len(turns[roll])
			turns[roll] = append(turns[roll], &turn{roll: roll, host: t.host})
		}
		turns[roll][i].add(t)
	}
	for _, roll := range rolls {
		if err := roll.link(turns[roll], hosts, batch); err != nil {
			return err
		}
	}
	return checkTurns(tasks)
}

// add makes t the last task of the turn.
func (u *turn) add(t *task) {
	if len(u.tasks) > 0 {
		t.needs = append(t.needs, u.last())
	}
	t.turn = u
	u.tasks = append(u.tasks, t)
}

func (u *turn) last() *task { return u.tasks[len(u.tasks)-1] }

// link makes the first task of every turn need the last ones of the batch
// before. Turns that the run leaves out do not count.
func (r *Roll) link(turns []*turn, hosts *Hosts, batch intstr.IntOrString) error {
	turns = slices.DeleteFunc(turns, func(u *turn) bool {
		return !slices.ContainsFunc(u.tasks, func(t *task) bool { return !t.skip })
	})
	slices.SortStableFunc(turns, func(a, b *turn) int {
		if r.Order != nil {
			return cmp.Or(cmp.Compare(r.Order(hosts, a.host), r.Order(hosts, b.host)), cmp.Compare(slices.Index(hosts.All, a.host), slices.Index(hosts.All, b.host)))
		}
		return cmp.Compare(hosts.order(a.host), hosts.order(b.host))
	})
	size, err := r.batch(batch, len(turns))
	if err != nil {
		return err
	}
	var before []*turn
	for now := range slices.Chunk(turns, size) {
		for _, u := range now {
			for _, b := range before {
				u.tasks[0].needs = append(u.tasks[0].needs, b.last())
			}
		}
		before = now
	}
	return nil
}

// order is the place of a host among the turns of a roll.
func (h *Hosts) order(host *Host) int {
	if host == h.Seed() {
		return -1
	}
	return slices.Index(h.All, host)
}

// checkTurns refuses rolls that can never finish because a turn needs a phase of a
// later turn.
func checkTurns(tasks []*task) error {
	const active, finished = 1, 2
	state := map[*task]int{}
	var waitsForItself func(*task) bool
	waitsForItself = func(t *task) bool {
		if state[t] != 0 {
			return state[t] == active
		}
		state[t] = active
		circular := slices.ContainsFunc(t.needs, waitsForItself)
		state[t] = finished
		return circular
	}
	for _, t := range tasks {
		if t.turn != nil && waitsForItself(t) {
			return fmt.Errorf("roll %s: %s needs a phase of a host whose turn comes later", t.turn.roll.Name, t)
		}
	}
	return nil
}

// plan finds out, at the start of a turn, whether it is disruptive.
func (u *turn) plan(ctx context.Context, s *Step) error {
	if u.planned {
		return nil
	}
	u.disruptive = true
	if u.roll.Disruptive != nil {
		disruptive, err := u.roll.Disruptive(ctx, s)
		if err != nil && !planned(s.run, err) {
			return err
		}
		u.disruptive = disruptive || err != nil
	}
	u.planned = true
	return nil
}
