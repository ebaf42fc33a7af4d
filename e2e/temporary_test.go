//go:build e2e

package e2e

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// nothingTemporary checks that no machine has units, processes, locks or temporary
// files of a run. Processes may still be ending.
func (s *scenario) nothingTemporary(ctx context.Context, t *testing.T) {
	t.Helper()
	script, err := os.ReadFile("testdata/temporary.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range s.lab.names() {
		var seen error // by an attempt that was not cut short
		eventually(ctx, t, m+" has nothing temporary", time.Minute, func(ctx context.Context) error {
			// On a busy machine, a connection may hang.
			ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
			defer cancel()
			left, err := s.ssh(ctx, m, string(script))
			if err == nil && left != "" {
				err = errors.New(left)
				seen = err
			}
			if err != nil && seen != nil {
				return seen
			}
			return err
		})
	}
}

// noProcesses checks that the programs of a cluster do not run.
func (s *scenario) noProcesses(ctx context.Context, t *testing.T, machine string) {
	t.Helper()
	const programs = "kube|containerd|etcd|coredns|flannel|pause"
	if left := s.mustSSH(ctx, t, machine, "ps -e -o pid=,comm= | grep -E '"+programs+"' || true"); left != "" {
		t.Errorf("%s still runs:\n%s", machine, left)
	}
}

// variable are paths that two installs of the same cluster do not share.
var variable = regexp.MustCompile(`^/var/lib/(containerd|kubelet|etcd|cni|slipway/journal-[^/]*)/|^/var/lib/slipway/journal-[^/]*$|^/opt/local-path-provisioner/`)

// paths returns the paths of a listing that each install has, with their types and
// permissions. Contents differ: certificates, UIDs.
func (l listing) paths() listing {
	rest := listing{}
	for path, e := range l {
		_, inside, _ := strings.Cut(path, ":")
		if variable.MatchString(inside) {
			continue
		}
		rest[path] = entry{mode: e.mode, uid: e.uid, gid: e.gid, link: e.link}
	}
	return rest
}

// samePaths checks that two installs left the same files.
func samePaths(t *testing.T, before, after listing) {
	t.Helper()
	same(t, before.paths(), after.paths())
}
