package vagrant

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"slipway.io/slipway/provision/lab"
)

var _ lab.Snapshotter = Vagrant{}

// snapshotName matches names that all providers accept.
var snapshotName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// SaveSnapshot saves the disks of all machines. It shuts the machines down first, so
// that all disks are of one moment, and boots them again.
func (v Vagrant) SaveSnapshot(ctx context.Context, name, snapshot string) error {
	if !snapshotName.MatchString(snapshot) {
		return fmt.Errorf("invalid snapshot name %q: use letters and digits, with . _ - between them", snapshot)
	}
	_, err := v.withLock(name, false, func(s *session) (*lab.Lab, error) {
		saved, err := s.snapshots(ctx)
		if err != nil {
			return nil, err
		}
		for _, m := range s.settings.names() {
			if slices.Contains(saved[m], snapshot) {
				return nil, fmt.Errorf("snapshot %[2]q of %[1]s already exists: choose another name", m, snapshot)
			}
		}
		for _, args := range [][]string{{"halt"}, {"snapshot", "save", snapshot}} {
			if _, err := s.run(ctx, true, args...); err != nil {
				return nil, err
			}
		}
		return s.ensureRunning(ctx)
	})
	return err
}

// RestoreSnapshot restores the disks of all machines, and boots them. Later changes
// are lost.
func (v Vagrant) RestoreSnapshot(ctx context.Context, name, snapshot string) error {
	_, err := v.withLock(name, false, func(s *session) (*lab.Lab, error) {
		saved, err := s.snapshots(ctx)
		if err != nil {
			return nil, err
		}
		// Machines from different moments are no cluster.
		for _, m := range s.settings.names() {
			if !slices.Contains(saved[m], snapshot) {
				return nil, fmt.Errorf("%s has no snapshot %q; it has: %s", m, snapshot, strings.Join(saved[m], ", "))
			}
		}
		if _, err := s.run(ctx, true, "snapshot", "restore", "--no-provision", "--no-start", snapshot); err != nil {
			return nil, err
		}
		return s.ensureRunning(ctx)
	})
	return err
}

// Snapshots lists the snapshots that all machines have.
func (v Vagrant) Snapshots(ctx context.Context, name string) ([]string, error) {
	s, err := v.open(name)
	if err != nil {
		return nil, err
	}
	saved, err := s.snapshots(ctx)
	if err != nil {
		return nil, err
	}
	names := s.settings.names()
	return slices.DeleteFunc(saved[names[0]], func(snapshot string) bool {
		return slices.ContainsFunc(names, func(m string) bool { return !slices.Contains(saved[m], snapshot) })
	}), nil
}

// snapshots are the snapshots of each machine. Vagrant prints them as messages for
// people; for none, it prints a sentence.
func (s *session) snapshots(ctx context.Context) (map[string][]string, error) {
	lines, err := s.run(ctx, false, "snapshot", "list")
	if err != nil {
		return nil, err
	}
	saved := map[string][]string{}
	for _, t := range lines {
		if t.Type == "ui" && len(t.Data) == 2 && t.Data[0] == "detail" && snapshotName.MatchString(t.Data[1]) {
			saved[t.Target] = append(saved[t.Target], t.Data[1])
		}
	}
	return saved, nil
}
