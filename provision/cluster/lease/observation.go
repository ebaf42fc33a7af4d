package lease

import (
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// observation is since when the holder of the Lease is seen not to renew it, by the
// clock of this computer alone: clocks of two computers are not compared.
type observation struct {
	spec  coordinationv1.LeaseSpec
	since time.Time // zero before the first observation
}

// update observes the Lease as the API server just returned it.
func (o *observation) update(now *coordinationv1.Lease) {
	if o.since.IsZero() || !equality.Semantic.DeepEqual(o.spec, now.Spec) {
		o.spec, o.since = *now.Spec.DeepCopy(), time.Now()
	}
}

// interrupt begins a new observation: while the API server does not answer, its
// holder cannot renew the Lease either.
func (o *observation) interrupt() { o.since = time.Time{} }

// expired reports whether the Lease was not renewed for as long as it says.
func (o *observation) expired() bool {
	expiry := duration
	if seconds := o.spec.LeaseDurationSeconds; seconds != nil {
		expiry = time.Duration(*seconds) * time.Second
	}
	return !o.since.IsZero() && time.Since(o.since) >= expiry
}
