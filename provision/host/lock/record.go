package lock

import (
	"crypto/rand"
	"time"

	"slipway.io/slipway/provision/localhost"
)

// Record says who holds a lock. It is the content of a lock file.
type Record struct {
	// Token tells locks apart. No other lock has it.
	Token string `json:"token"`
	// Holder is the user of the installer, Run its command, Since when it took the
	// lock (RFC 3339).
	Holder string `json:"holder"`
	Run    string `json:"run"`
	Since  string `json:"since"`
	// Process is the installer itself.
	Process localhost.Process `json:"process,omitzero"`
}

// NewRecord is the record of a lock that this process takes now.
func NewRecord(r Request) Record {
	return Record{
		Token: rand.Text(), Holder: r.Holder, Run: r.Run, Since: time.Now().Format(time.RFC3339), Process: localhost.CurrentProcess(),
	}
}

// HeldAt is the refusal of a lock, whose place is the name of the host or of the
// object.
func (r Record) HeldAt(place string) *HeldError {
	return &HeldError{Place: place, Holder: r.Holder, Run: r.Run, Since: r.Since}
}
