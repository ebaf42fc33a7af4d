// Package lease keeps two installers from changing the same cluster, also if they
// work on different hosts: one of them holds the Lease kube-system/slipway.
package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/host/lock"
)

const (
	name  = "slipway"
	place = "lease " + metav1.NamespaceSystem + "/" + name
	// duration is how long the Lease is held without a renewal. Whoever waits for
	// lock.Expiry has observed it for that long.
	duration = 50 * time.Second
	// renewal is the interval of renewals. Four may fail before the Lease expires.
	renewal = 10 * time.Second
	// requestTimeout bounds each call that takes, renews, observes or releases.
	requestTimeout = 5 * time.Second
	// attempts is how often a call is repeated because somebody else changed the
	// Lease meanwhile.
	attempts = 5
)

// errContended: others kept changing the Lease.
var errContended = errors.New("changed by others at the same time")

// Lease is the lock of a cluster, as one installer takes it. It is a
// lock.ClusterLock. Its methods are not called at the same time.
type Lease struct {
	connect func(context.Context) (*kube.Client, error)
	// current is the Lease as the API server returned it last; nil if that is
	// unknown or out of date.
	current  *coordinationv1.Lease
	observed observation
	record   lock.Record
	// written: it may be held.
	written bool
	stop    context.CancelFunc // of the renewal
	renewal sync.WaitGroup
}

// New returns the Lease, which is not taken yet, of the cluster that connect
// connects to. If read is the object as it was read shortly before, or nil, a free
// Lease takes a single request.
func New(connect func(context.Context) (*kube.Client, error), read *coordinationv1.Lease) *Lease {
	if _, held := Holder(read); held {
		read = nil // it may be free by now
	}
	return &Lease{connect: connect, current: read}
}

// Read returns the object; nil if the cluster has none yet.
func Read(ctx context.Context, client *kube.Client) (*coordinationv1.Lease, error) {
	found, err := leases(client).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return found, err
}

func leases(client *kube.Client) coordinationclient.LeaseInterface {
	return client.Clientset().CoordinationV1().Leases(metav1.NamespaceSystem)
}

// Take implements lock.ClusterLock. It takes over the Lease of an installer of this
// computer that has ended, and one that was observed to have expired.
func (l *Lease) Take(ctx context.Context, r lock.Request) error {
	if l.record.Token == "" {
		l.record = lock.NewRecord(r)
	}
	free := func(holder lock.Record) bool { return holder.Process.Ended() || l.observed.expired() }
	if err := l.write(ctx, free); err != nil {
		var other *lock.HeldError
		if errors.As(err, &other) {
			return err
		}
		return fmt.Errorf("%s: %w", place, err)
	}
	// After Ctrl-C the run still cleans up: Release ends the renewal.
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	// While the API server restarts, the hosts stay locked.
	again := func(ctx context.Context) error {
		return l.write(ctx, func(lock.Record) bool { return false })
	}
	l.renewal.Go(func() { lock.Renew(ctx, renewal, again, r.Lost) })
	return nil
}

// write writes this installer into the Lease, if it holds it already, nobody does,
// or free says so of its holder. Otherwise the error is a *lock.HeldError.
func (l *Lease) write(ctx context.Context, free func(lock.Record) bool) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	client, err := l.connect(ctx)
	if err != nil {
		l.observed.interrupt()
		return err
	}
	for range attempts {
		if l.current == nil {
			if err := l.read(ctx, client); err != nil {
				return err
			}
		}
		if holder, held := Holder(l.current); held && holder.Token != l.record.Token && !free(holder) {
			l.current, l.written = nil, false
			return holder.HeldAt(place)
		}
		l.written = true
		if err := l.put(ctx, client, l.mine()); err == nil || !outdated(err) {
			return err
		}
	}
	return errContended
}

// read reads the Lease, which stays nil if there is none, and observes it.
func (l *Lease) read(ctx context.Context, client *kube.Client) error {
	current, err := Read(ctx, client)
	if err != nil {
		l.observed.interrupt()
		return err
	}
	if current != nil {
		l.observed.update(current)
	}
	l.current = current
	return nil
}

// put creates the Lease, or replaces it if nobody has changed it since it was read.
func (l *Lease) put(ctx context.Context, client *kube.Client, next *coordinationv1.Lease) (err error) {
	if next.ResourceVersion == "" {
		next, err = leases(client).Create(ctx, next, metav1.CreateOptions{FieldManager: kube.FieldManager})
	} else {
		next, err = leases(client).Update(ctx, next, metav1.UpdateOptions{FieldManager: kube.FieldManager})
	}
	l.current = nil
	if err == nil {
		l.current = next
	}
	return err
}

// outdated reports whether an error says that the Lease is no longer as it was read.
func outdated(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err)
}

// mine is the current Lease, held by this installer and renewed now.
func (l *Lease) mine() *coordinationv1.Lease {
	next := l.next()
	now, who := metav1.NowMicro(), identity(l.record)
	if before := next.Spec.HolderIdentity; before == nil || *before != who {
		transitions := int32(1)
		if next.Spec.LeaseTransitions != nil {
			transitions += *next.Spec.LeaseTransitions
		}
		next.Spec.LeaseTransitions, next.Spec.AcquireTime = &transitions, &now
	}
	next.Spec.HolderIdentity, next.Spec.RenewTime = &who, &now
	record, _ := json.Marshal(l.record) // it has only strings and numbers
	if next.Annotations == nil {
		next.Annotations = map[string]string{}
	}
	next.Annotations[recordAnnotation] = string(record)
	return next
}

// next is a copy of the current Lease to change, or a new one.
func (l *Lease) next() *coordinationv1.Lease {
	next := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceSystem}}
	if l.current != nil {
		next = l.current.DeepCopy()
	}
	seconds := int32(duration / time.Second)
	next.Spec.LeaseDurationSeconds = &seconds
	return next
}

// Observe implements lock.ClusterLock.
func (l *Lease) Observe(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	client, err := l.connect(ctx)
	if err != nil {
		l.observed.interrupt()
		return
	}
	_ = l.read(ctx, client) // which interrupts the observation
	l.current = nil
}

// Release implements lock.ClusterLock. The object stays in the cluster, without a
// holder.
func (l *Lease) Release(ctx context.Context) {
	if l.stop != nil {
		l.stop()
		l.renewal.Wait()
	}
	if !l.written {
		return
	}
	l.written = false
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	_ = l.clear(ctx) // if this fails, the Lease expires
}

// clear removes this installer from the Lease.
func (l *Lease) clear(ctx context.Context) error {
	client, err := l.connect(ctx)
	if err != nil {
		return err
	}
	for range attempts {
		if l.current == nil {
			if err := l.read(ctx, client); err != nil {
				return err
			}
		}
		if holder, held := Holder(l.current); !held || holder.Token != l.record.Token {
			return nil
		}
		next, nobody := l.next(), ""
		next.Spec.HolderIdentity = &nobody
		delete(next.Annotations, recordAnnotation)
		if err := l.put(ctx, client, next); err == nil || !outdated(err) {
			return err
		}
	}
	return errContended
}
