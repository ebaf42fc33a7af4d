package lease

import (
	"encoding/json"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"

	"slipway.io/slipway/provision/host/lock"
)

// recordAnnotation has the lock.Record of the holder, in JSON.
const recordAnnotation = "slipway.io/holder"

// identity is the holderIdentity of a record. As those of client-go, no other
// process has it, whatever the names of users and computers are.
func identity(r lock.Record) string { return r.Holder + "_" + r.Token }

// Holder returns who holds the Lease; false if nobody does. Another program than
// slipway may have written it.
func Holder(of *coordinationv1.Lease) (lock.Record, bool) {
	if of == nil || of.Spec.HolderIdentity == nil || *of.Spec.HolderIdentity == "" {
		return lock.Record{}, false
	}
	var r lock.Record
	err := json.Unmarshal([]byte(of.Annotations[recordAnnotation]), &r)
	if err == nil && identity(r) == *of.Spec.HolderIdentity {
		return r, true
	}
	r = lock.Record{Holder: *of.Spec.HolderIdentity, Run: "another program", Since: "an unknown time"}
	if taken := of.Spec.AcquireTime; taken != nil {
		r.Since = taken.Format(time.RFC3339)
	}
	return r, true
}
