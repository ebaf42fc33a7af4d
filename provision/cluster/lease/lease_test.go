package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/host/lock"
	"slipway.io/slipway/provision/localhost"
)

const path = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/slipway"

// fixture is an API server and a client of it.
type fixture struct {
	t      *testing.T
	server *kubetest.Server
	client *kube.Client

	mu       sync.Mutex
	requests []string
	silent   bool
}

// setUp is called in a bubble of synctest.
func setUp(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, server: kubetest.NewInMemory(t)}
	f.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.requests = append(f.requests, r.Method)
		if f.silent {
			kubetest.Refuse(w, http.StatusInternalServerError, "InternalError", "etcdserver: no leader")
		}
		return f.silent
	})
	client, err := kube.New(f.server.Kubeconfig(""), f.server.Dial)
	if err != nil {
		t.Fatal(err)
	}
	f.client = client
	return f
}

func (f *fixture) connect(context.Context) (*kube.Client, error) { return f.client, nil }

func (f *fixture) setSilent(silent bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.silent = silent
}

// sent returns the methods of the requests since the last call.
func (f *fixture) sent() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer func() { f.requests = nil }()
	return strings.Join(f.requests, " ")
}

// read returns the object, nil if there is none.
func (f *fixture) read() *coordinationv1.Lease {
	f.t.Helper()
	object := f.server.Get(path)
	if object == nil {
		return nil
	}
	text, err := json.Marshal(object)
	if err != nil {
		f.t.Fatal(err)
	}
	found := &coordinationv1.Lease{}
	if err := json.Unmarshal(text, found); err != nil {
		f.t.Fatal(err)
	}
	return found
}

// holder is the name of the user who holds the Lease; empty if nobody does.
func (f *fixture) holder() string {
	f.t.Helper()
	r, _ := Holder(f.read())
	return r.Holder
}

// heldBy stores a Lease of another installer, which lasts 40 s.
func (f *fixture) heldBy(process localhost.Process) {
	f.t.Helper()
	r := lock.Record{Token: "T", Holder: "ada@there", Run: "apply", Since: "2026-01-01T00:00:00Z", Process: process}
	record, err := json.Marshal(r)
	if err != nil {
		f.t.Fatal(err)
	}
	f.server.PutObject(kubetest.Object{
		"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
		"metadata": kubetest.Object{"name": "slipway", "namespace": "kube-system", "annotations": kubetest.Object{recordAnnotation: string(record)}},
		// Its clock is wrong.
		"spec": kubetest.Object{
			"holderIdentity": identity(r), "leaseDurationSeconds": 40, "leaseTransitions": 3,
			"renewTime": fmt.Sprintf("1970-01-01T00:00:00.%06dZ", len(f.server.Requests())),
		},
	})
}

// renewed renews the Lease of another installer.
func (f *fixture) renewed(at time.Time) {
	object := f.server.Get(path)
	object["spec"].(kubetest.Object)["renewTime"] = at.UTC().Format("2006-01-02T15:04:05.000000Z07:00")
	f.server.PutObject(object)
}

func (f *fixture) request(timeout time.Duration, l *Lease) lock.Request {
	return lock.Request{
		Holder: "me@here", Run: "apply", Timeout: timeout, Cluster: l,
		Lost:   func(err error) { f.t.Errorf("lost: %v", err) },
		Silent: func(err error) { f.t.Errorf("silent: %v", err) },
	}
}

// inBubble runs a test for which waiting takes no time. The connection of the client
// is closed in the end, which the bubble waits for.
func inBubble(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t)
		test(t, f)
	})
}

func take(t *testing.T, f *fixture, timeout time.Duration, l *Lease) *lock.Locks {
	t.Helper()
	locks, err := lock.Take(t.Context(), nil, f.request(timeout, l))
	if err != nil {
		t.Fatal(err)
	}
	return locks
}

func release(t *testing.T, locks *lock.Locks) {
	t.Helper()
	if err := locks.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestALeaseIsTakenRenewedAndReleased(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		locks := take(t, f, 0, New(f.connect, nil))
		if sent := f.sent(); sent != "GET POST" {
			t.Errorf("requests %s", sent)
		}
		first := f.read()
		if r, held := Holder(first); !held || r.Holder != "me@here" || r.Run != "apply" || r.Process != localhost.CurrentProcess() {
			t.Errorf("the holder is %+v", r)
		}
		if got := *first.Spec.HolderIdentity; !strings.HasPrefix(got, "me@here_") || len(got) < 28 {
			t.Errorf("the identity is %s", got)
		}
		<-time.After(35 * time.Second)
		if sent := f.sent(); sent != "PUT PUT PUT" {
			t.Errorf("requests %s", sent)
		}
		if renewed := f.read().Spec; renewed.RenewTime.Sub(first.Spec.RenewTime.Time) != 3*renewal || !renewed.AcquireTime.Equal(first.Spec.AcquireTime) {
			t.Errorf("renewed as %+v", renewed)
		}
		release(t, locks)
		<-time.After(time.Minute)
		if sent := f.sent(); sent != "PUT" {
			t.Errorf("requests %s", sent)
		}
		if after := f.read(); after == nil || *after.Spec.HolderIdentity != "" || len(after.Annotations) > 0 {
			t.Errorf("after the release: %+v", after)
		}
	})
}

func TestAFreeLeaseThatWasReadTakesOneRequest(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		release(t, take(t, f, 0, New(f.connect, nil)))
		f.sent()
		read := f.read()
		locks := take(t, f, 0, New(f.connect, read))
		if sent := f.sent(); sent != "PUT" {
			t.Errorf("requests %s", sent)
		}
		if got := *f.read().Spec.LeaseTransitions; got != 2 {
			t.Errorf("%d transitions", got)
		}
		release(t, locks)
		f.sent()
		// Somebody took and released it since it was read.
		release(t, take(t, f, 0, New(f.connect, read)))
		if sent := f.sent(); sent != "PUT GET PUT PUT" {
			t.Errorf("requests %s", sent)
		}
	})
}

func TestALeaseOfARunningInstallerIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		for name, process := range map[string]localhost.Process{
			"elsewhere": {Computer: "other", PID: 1 << 22, Started: "1"}, "here": localhost.CurrentProcess(), "of an unknown process": {},
		} {
			f.heldBy(process)
			before := f.read()
			_, err := lock.Take(t.Context(), nil, f.request(0, New(f.connect, before)))
			var held *lock.HeldError
			want := "lease kube-system/slipway: locked by ada@there (apply) since 2026-01-01T00:00:00Z"
			if !errors.As(err, &held) || err.Error() != want {
				t.Errorf("%s: %v, want %s", name, err, want)
			}
			if diff := cmp.Diff(before, f.read()); diff != "" {
				t.Errorf("%s: changed: %s", name, diff)
			}
		}
	})
}

func TestALeaseOfAnotherProgramIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		f.server.Put(`{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: slipway, namespace: kube-system}, spec: {holderIdentity: bob}}`)
		_, err := lock.Take(t.Context(), nil, f.request(0, New(f.connect, nil)))
		if want := "lease kube-system/slipway: locked by bob (another program) since an unknown time"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

func TestTheLeaseOfAKilledInstallerOfThisComputerIsTakenOver(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		cmd := exec.CommandContext(t.Context(), "true")
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		f.heldBy(localhost.Process{Computer: localhost.CurrentProcess().Computer, PID: cmd.Process.Pid, Started: "1"})
		locks := take(t, f, 0, New(f.connect, f.read()))
		if holder := f.holder(); holder != "me@here" || *f.read().Spec.LeaseTransitions != 4 {
			t.Errorf("the holder is %s", holder)
		}
		release(t, locks)
	})
}

// With lock.Expiry as the timeout, no Lease of an installer that died fails a run.
func TestALeaseThatIsNotRenewedExpiresByTheClockOfTheObserver(t *testing.T) {
	for timeout, want := range map[time.Duration]bool{lock.Expiry: true, 35 * time.Second: false} {
		t.Run(timeout.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *fixture) {
				f.heldBy(localhost.Process{})
				start := time.Now()
				locks, err := lock.Take(t.Context(), nil, f.request(timeout, New(f.connect, f.read())))
				if (err == nil) != want {
					t.Fatalf("got %v", err)
				}
				if took := time.Since(start); want && (took < 40*time.Second || took > 42*time.Second) {
					t.Errorf("it took %s", took)
				}
				if want {
					release(t, locks)
				}
			})
		})
	}
}

func TestALeaseThatIsRenewedDoesNotExpire(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		f.heldBy(localhost.Process{})
		ctx, cancel := context.WithCancel(t.Context())
		var renewing sync.WaitGroup
		renewing.Go(func() {
			for i := 1; ctx.Err() == nil; i++ {
				<-time.After(30 * time.Second)
				f.renewed(time.Unix(int64(i), 0))
			}
		})
		_, err := lock.Take(t.Context(), nil, f.request(5*time.Minute, New(f.connect, nil)))
		var held *lock.HeldError
		if !errors.As(err, &held) || !strings.HasPrefix(err.Error(), "timed out waiting for the lock after 5m0s: ") {
			t.Errorf("got %v", err)
		}
		cancel()
		renewing.Wait()
	})
}

// Its holder cannot renew it meanwhile, and continues: it still has its hosts.
func TestALeaseDoesNotExpireWhileTheAPIServerIsSilent(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		f.heldBy(localhost.Process{})
		l := New(f.connect, nil)
		try := func() error { return l.Take(t.Context(), f.request(0, l)) }
		var held *lock.HeldError
		if err := try(); !errors.As(err, &held) {
			t.Fatalf("got %v", err)
		}
		<-time.After(30 * time.Second)
		f.setSilent(true)
		if err := try(); err == nil || errors.As(err, &held) || !strings.HasPrefix(err.Error(), "lease kube-system/slipway: ") {
			t.Errorf("got %v", err)
		}
		<-time.After(30 * time.Second)
		f.setSilent(false)
		if err := try(); !errors.As(err, &held) {
			l.Release(t.Context())
			t.Fatalf("got %v", err)
		}
		<-time.After(40 * time.Second)
		if err := try(); err != nil {
			t.Error(err)
		}
		l.Release(t.Context())
	})
}

func TestALeaseIsKeptWhileTheAPIServerIsSilent(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		locks := take(t, f, 0, New(f.connect, nil))
		f.setSilent(true)
		<-time.After(10 * time.Minute)
		f.setSilent(false)
		<-time.After(renewal)
		if since := time.Since(f.read().Spec.RenewTime.Time); since > renewal {
			t.Errorf("renewed %s ago", since)
		}
		release(t, locks)
		if holder := f.holder(); holder != "" {
			t.Errorf("held by %s", holder)
		}
	})
}

func TestALeaseThatAnotherInstallerTookOverIsLost(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		l := New(f.connect, nil)
		lost := make(chan error, 1)
		r := f.request(0, l)
		r.Lost = func(err error) { lost <- err }
		locks, err := lock.Take(t.Context(), nil, r)
		if err != nil {
			t.Fatal(err)
		}
		f.heldBy(localhost.Process{})
		start := time.Now()
		var held *lock.HeldError
		if err := <-lost; !errors.As(err, &held) || held.Holder != "ada@there" || time.Since(start) > renewal {
			t.Errorf("got %v after %s", err, time.Since(start))
		}
		release(t, locks)
		if holder := f.holder(); holder != "ada@there" {
			t.Errorf("held by %q: the Lease of another installer was released", holder)
		}
	})
}

func TestALeaseThatSomebodyEditedOrDeletedIsRenewed(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		locks := take(t, f, 0, New(f.connect, nil))
		edited := f.server.Get(path)
		edited["metadata"].(kubetest.Object)["labels"] = kubetest.Object{"a": "b"}
		f.server.PutObject(edited)
		<-time.After(2 * renewal)
		if got := f.read(); f.holder() != "me@here" || got.Labels["a"] != "b" || time.Since(got.Spec.RenewTime.Time) > renewal {
			t.Errorf("after an edit: %+v", got)
		}
		if err := leases(f.client).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * renewal)
		if holder := f.holder(); holder != "me@here" {
			t.Errorf("after it was deleted: held by %q", holder)
		}
		release(t, locks)
	})
}

// The answer of the API server is lost.
func TestALeaseThatMayHaveBeenTakenIsReleased(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		ctx, cancel := context.WithCancel(t.Context())
		answer := make(chan struct{})
		f.server.OnCreate(func(kubetest.Object) {
			cancel()
			<-answer
		})
		if _, err := lock.Take(ctx, nil, f.request(0, New(f.connect, nil))); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		close(answer)
		if holder := f.holder(); holder != "" {
			t.Errorf("held by %s", holder)
		}
	})
}

func TestOnlyOneOfManyInstallersGetsTheLease(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		var all sync.WaitGroup
		var mu sync.Mutex
		working, worked := 0, 0
		f.heldBy(localhost.Process{}) // and expires for all of them at the same time
		for range 4 {
			all.Go(func() {
				locks, err := lock.Take(t.Context(), nil, f.request(time.Hour, New(f.connect, nil)))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				working, worked = working+1, worked+1
				if working > 1 {
					t.Error("two installers hold the Lease")
				}
				mu.Unlock()
				<-time.After(20 * time.Second)
				mu.Lock()
				working--
				mu.Unlock()
				release(t, locks)
			})
		}
		all.Wait()
		if worked != 4 {
			t.Errorf("%d installers worked", worked)
		}
	})
}
