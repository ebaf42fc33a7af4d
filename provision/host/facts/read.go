package facts

import (
	"context"
	"time"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/templates"
)

// Read reads the facts of a host in one round trip.
func Read(ctx context.Context, h host.Host) (*Facts, error) {
	before := time.Now()
	res, err := h.Query(ctx, host.Script("facts.sh", templates.Script("facts/facts.sh"), Arguments()...))
	if err != nil {
		return nil, err
	}
	return Parse(res.Stdout, before, time.Now())
}
