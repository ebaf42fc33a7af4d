package workflow

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/lock"
	"slipway.io/slipway/provision/report"
)

const leasePath = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/slipway"

// member is a lockable host through which an API server is reached.
type member struct {
	host.Host
	server *kubetest.Server
}

func (m member) ReadFile(context.Context, string) ([]byte, error) {
	if m.server == nil {
		return nil, fs.ErrNotExist
	}
	return m.server.Kubeconfig(""), nil
}

func (m member) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return m.server.Dial(ctx, network, addr)
}

// clusterRun is a run on some hosts of a cluster.
func clusterRun(server *kubetest.Server, hosts ...string) (*Run, []*lockable, *report.Recorder) {
	all := []*lockable{{}, {}, {}}
	r := lockRun(all...)
	events := &report.Recorder{}
	r.Sink, r.Selection.Hosts = events, hosts
	for _, h := range r.Hosts.All {
		h.Conn = member{h.Conn, server}
	}
	r.Hosts.SetState(&cluster.State{Exists: true})
	return r, all, events
}

// locked is a workflow that locks the cluster and then does something.
func locked(do func(context.Context, *Step) error) Workflow {
	return Workflow{Name: "apply", Phases: []Phase{
		{Name: "lock", On: Localhost, Always: true, Do: func(ctx context.Context, s *Step) error { return s.Lock(ctx, true) }},
		{Name: "work", On: Localhost, Needs: []string{"lock"}, Do: do},
	}}
}

// leaseHolder is the identity in the Lease; empty if nobody holds it.
func leaseHolder(server *kubetest.Server) string {
	lease := server.Get(leasePath)
	if lease == nil {
		return ""
	}
	holder, _ := lease["spec"].(kubetest.Object)["holderIdentity"].(string)
	return holder
}

// leaseOf puts a Lease that another program holds.
func leaseOf(server *kubetest.Server, holder string) {
	server.Put("{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: slipway, namespace: kube-system}, spec: {holderIdentity: " + holder + "}}")
}

func messages(events *report.Recorder, kind report.Kind) (all []string) {
	for _, e := range events.Events() {
		if e.Kind == kind {
			all = append(all, e.Message)
		}
	}
	return all
}

func TestTheClusterIsLockedUntilTheRunEnds(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, end := range map[string]func(cancel func()) error{
		"in success":   func(func()) error { return nil },
		"in failure":   func(func()) error { return broken },
		"after Ctrl-C": func(cancel func()) error { cancel(); return context.Canceled },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := kubetest.NewInMemory(t)
				r, hosts, events := clusterRun(server, "w1")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				err := r.Do(ctx, locked(func(context.Context, *Step) error {
					<-time.After(time.Minute)
					if holder := leaseHolder(server); !strings.HasPrefix(holder, "me@here_") {
						t.Errorf("the Lease is held by %q", holder)
					}
					return end(cancel)
				}))
				if want := end(cancel); !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
				if server.Get(leasePath) == nil || leaseHolder(server) != "" {
					t.Errorf("after the run, the Lease is %v", server.Get(leasePath))
				}
				if verbs := hosts[1].verbs; verbs[len(verbs)-1] != "release" {
					t.Errorf("the lock of the host: %v", verbs)
				}
				if notes := messages(events, report.Note); len(notes) > 0 {
					t.Errorf("notes %v", notes)
				}
			})
		})
	}
}

func TestALockedClusterRefusesARunOnOtherHosts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := kubetest.NewInMemory(t)
		first, _, _ := clusterRun(server, "w1")
		second, hosts, _ := clusterRun(server, "w2")
		second.Holder = "ada@there"
		err := first.Do(t.Context(), locked(func(context.Context, *Step) error {
			err := second.Do(t.Context(), locked(func(context.Context, *Step) error {
				t.Error("two runs change the cluster")
				return nil
			}))
			var held *lock.HeldError
			if !errors.As(err, &held) || held.Holder != "me@here" || held.Run != "apply" || Hint(err) == "" {
				t.Errorf("got %v, hint %q", err, Hint(err))
			}
			return nil
		}))
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"take", "release"}, hosts[2].verbs); diff != "" {
			t.Errorf("the host of the refused run: %s", diff)
		}
	})
}

func TestARunWaitsForTheLockOfTheCluster(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := kubetest.NewInMemory(t)
		first, _, _ := clusterRun(server, "w1")
		second, _, events := clusterRun(server, "w2")
		second.LockTimeout = time.Hour
		var working atomic.Bool
		work := func(ctx context.Context, _ *Step) error {
			if !working.CompareAndSwap(false, true) {
				t.Error("two runs change the cluster")
			}
			<-time.After(2 * time.Minute)
			working.Store(false)
			return nil
		}
		ended := make(chan error)
		go func() { ended <- first.Do(t.Context(), locked(work)) }()
		<-time.After(time.Second)
		if err := errors.Join(second.Do(t.Context(), locked(work)), <-ended); err != nil {
			t.Error(err)
		}
		waits := messages(events, report.Waiting)
		if len(waits) != 1 || !strings.HasPrefix(waits[0], "lease kube-system/slipway: locked by me@here (apply) since ") || !strings.HasSuffix(waits[0], "; waiting up to 1h0m0s") {
			t.Errorf("it shows %q", waits)
		}
	})
}

func TestARunEndsWhenTheLockOfTheClusterIsTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := kubetest.NewInMemory(t)
		r, hosts, _ := clusterRun(server, "w1")
		err := r.Do(t.Context(), locked(func(ctx context.Context, _ *Step) error {
			leaseOf(server, "ada")
			<-ctx.Done()
			return ctx.Err()
		}))
		var held *lock.HeldError
		if !errors.As(err, &held) || held.Holder != "ada" || Hint(err) == "" {
			t.Errorf("got %v, hint %q", err, Hint(err))
		}
		if verbs := hosts[1].verbs; verbs[len(verbs)-1] != "release" || leaseHolder(server) != "ada" {
			t.Errorf("locks after the run: %v, %s", verbs, leaseHolder(server))
		}
	})
}

func TestAClusterThatIsSilentIsLockedWhenItAnswers(t *testing.T) {
	t.Parallel()
	for name, holder := range map[string]string{"free": "", "locked by another run": "ada"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := kubetest.NewInMemory(t)
				var silent atomic.Bool
				silent.Store(true)
				server.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
					if silent.Load() {
						kubetest.Refuse(w, http.StatusInternalServerError, "InternalError", "etcdserver: no leader")
					}
					return silent.Load()
				})
				r, _, events := clusterRun(server, "w1")
				err := r.Do(t.Context(), locked(func(ctx context.Context, s *Step) error {
					silent.Store(false)
					if holder != "" {
						leaseOf(server, holder)
					}
					err := s.LockCluster(ctx)
					if err == nil && !strings.HasPrefix(leaseHolder(server), "me@here_") {
						t.Errorf("the Lease is held by %q", leaseHolder(server))
					}
					return err
				}))
				var held *lock.HeldError
				if errors.As(err, &held) != (holder != "") || leaseHolder(server) != holder {
					t.Errorf("got %v, and the Lease is held by %q", err, leaseHolder(server))
				}
				if notes := messages(events, report.Note); len(notes) != 1 || !strings.HasPrefix(notes[0], "only the hosts are locked, not the cluster: lease kube-system/slipway: ") {
					t.Errorf("notes %q", notes)
				}
			})
		})
	}
}

func TestACreatedClusterIsLockedInTheBackground(t *testing.T) {
	t.Parallel()
	for name, holder := range map[string]string{"free": "", "locked by another run": "ada"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := kubetest.NewInMemory(t)
				r, _, _ := clusterRun(server)
				w := locked(func(ctx context.Context, s *Step) error {
					if leaseHolder(server) != "" {
						t.Error("locked before it exists")
					}
					if holder != "" {
						leaseOf(server, holder)
					}
					s.LockCreatedCluster(ctx)
					select {
					case <-time.After(time.Minute):
					case <-ctx.Done():
						return ctx.Err()
					}
					if got := leaseHolder(server); !strings.HasPrefix(got, "me@here_") {
						t.Errorf("the Lease is held by %q", got)
					}
					return nil
				})
				w.Phases[0].Do = func(ctx context.Context, s *Step) error { return s.Lock(ctx, false) }
				err := r.Do(t.Context(), w)
				var held *lock.HeldError
				if errors.As(err, &held) != (holder != "") || leaseHolder(server) != holder {
					t.Errorf("got %v, and the Lease is held by %q", err, leaseHolder(server))
				}
			})
		})
	}
}

func TestWithoutAClusterOnlyHostsAreLocked(t *testing.T) {
	t.Parallel()
	r, hosts, events := clusterRun(nil)
	if err := r.Do(t.Context(), locked(func(context.Context, *Step) error { return nil })); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"take", "release"}, hosts[0].verbs); diff != "" {
		t.Error(diff)
	}
	if notes := messages(events, report.Note); len(notes) > 0 {
		t.Errorf("notes %v", notes)
	}
}

func TestAPlanDoesNotLockTheCluster(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	r, _, _ := clusterRun(server)
	r.Plan = true
	if err := r.Do(t.Context(), locked(func(ctx context.Context, s *Step) error {
		s.LockCreatedCluster(ctx)
		return s.LockCluster(ctx)
	})); err != nil {
		t.Error(err)
	}
	if requests := server.Requests(); len(requests) > 0 || server.Get(leasePath) != nil {
		t.Errorf("requests %v", requests)
	}
}

var _ host.Dialer = member{}
