//go:build e2e

package e2e

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// foreignState is what a machine has besides its cluster: the listing of all machines,
// and the lines of testdata/foreign/state.sh of each.
type foreignState struct {
	files listing
	lines map[string][]string
}

// script runs a script of testdata/foreign on a machine, and returns its output.
func (s *scenario) script(ctx context.Context, t *testing.T, machine, name string) string {
	t.Helper()
	content, err := os.ReadFile("testdata/foreign/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return s.mustSSH(ctx, t, machine, string(content))
}

func (s *scenario) foreignState(ctx context.Context, t *testing.T) foreignState {
	t.Helper()
	state := foreignState{lines: map[string][]string{}}
	for _, m := range s.lab.names() {
		state.lines[m] = slices.Sorted(strings.Lines(s.script(ctx, t, m, "state.sh")))
	}
	state.files = s.lister.list(t, s.lab)
	return state
}

// foreignBefore changes the machines before the installation.
func (s *scenario) foreignBefore(ctx context.Context, t *testing.T) {
	if s.bare == nil {
		s.bare = s.lister.list(t, s.lab)
	}
	for _, m := range s.lab.names() {
		s.script(ctx, t, m, "before.sh")
	}
	s.foreign = s.foreignState(ctx, t)
	s.foreignCNI(ctx, t)
}

// foreignCNI checks that a CNI configuration of others stops an installation.
func (s *scenario) foreignCNI(ctx context.Context, t *testing.T) {
	t.Helper()
	const file = "/etc/cni/net.d/10-calico.conflist"
	s.mustSSH(ctx, t, "w1", "mkdir -p /etc/cni/net.d; echo '{}' >"+file)
	r := s.slipway.run(ctx, t, s.on("apply")...)
	for _, want := range []string{"cni-config", file + " is not of the pod network flannel", "rm " + file, "nothing has been changed"} {
		if r.code != 5 || !strings.Contains(r.stderr, want) {
			t.Errorf("a CNI configuration of others: no %q: %s", want, r)
		}
	}
	s.mustSSH(ctx, t, "w1", "rm "+file+"; rmdir -p /etc/cni/net.d 2>/dev/null || :")
	same(t, s.foreign.files.afterReset(), s.lister.list(t, s.lab).afterReset())
}

// foreignBetween changes the machines after the installation.
func (s *scenario) foreignBetween(ctx context.Context, t *testing.T) {
	for _, m := range s.lab.names() {
		s.script(ctx, t, m, "between.sh")
	}
	s.script(ctx, t, "w2", "container.sh")
	if r := s.slipway.run(ctx, t, s.on("plan", "--detailed-exitcode")...); r.code != 0 {
		t.Errorf("what others changed is in the plan: %s", r)
	}
}

// sharedFiles are files of which slipway undoes single lines: the time of a change by
// others stays.
var sharedFiles = []string{"/etc/fstab", "/etc/hosts"}

// resetAmongForeign resets the hosts, and checks that the state of others survives:
// what they changed before and after the installation.
func (s *scenario) resetAmongForeign(ctx context.Context, t *testing.T) {
	r := s.slipway.must(ctx, t, s.on("reset", "--yes", "-o", "json")...)
	s.took("reset among the state of others", r.took)
	container := s.mustSSH(ctx, t, "w2", "pgrep -f 'containerd-shim-runc-v2 -namespace admin ' || :")
	if container == "" {
		t.Error("the container of another namespace is gone")
	}
	if !strings.Contains(r.stdout, "left /var/lib/containerd, which these containers use: admin/admin") {
		t.Error("the reset does not say that a container still uses containerd")
	}
	s.mustSSH(ctx, t, "w2", `pkill -f 'containerd-shim-runc-v2 -namespace admin ' || :
		pkill -f '^/usr/bin/sleep infinity$' || :
		awk '$5 ~ "^/run/containerd/" { print $5 }' /proc/self/mountinfo | xargs -r umount
		rm -rf --one-file-system /var/lib/containerd /run/containerd /srv/admin-root`)
	for _, m := range s.lab.names() {
		s.script(ctx, t, m, "remove.sh")
	}
	s.sameForeign(ctx, t)
	for _, m := range s.lab.names() {
		s.noProcesses(ctx, t, m)
	}
	s.nothingTemporary(ctx, t)
}

// sameForeign compares the machines with their state before the installation.
func (s *scenario) sameForeign(ctx context.Context, t *testing.T) {
	t.Helper()
	now := s.foreignState(ctx, t)
	for _, m := range s.lab.names() {
		for _, line := range s.foreign.lines[m] {
			if !slices.Contains(now.lines[m], line) {
				t.Errorf("%s lost: %s", m, line)
			}
		}
		for _, line := range now.lines[m] {
			if !slices.Contains(s.foreign.lines[m], line) {
				t.Errorf("%s still has: %s", m, line)
			}
		}
	}
	before, after := s.foreign.files.afterReset(), now.files.afterReset()
	for _, all := range []listing{before, after} {
		for path, e := range all {
			if _, inside, _ := strings.Cut(path, ":"); slices.Contains(sharedFiles, inside) {
				e.mtime = time.Time{}
				all[path] = e
			}
		}
	}
	same(t, before, after)
	// The state of others from before the installation stays.
	s.bare = now.files
}
