package kube

import (
	"context"
	"fmt"
	"strconv"
)

// MoveLeader makes another member the leader. Only the leader does this, and only for a
// member that votes.
func (c EtcdClient) MoveLeader(ctx context.Context, to uint64) error {
	request := struct {
		Target string `json:"targetID"`
	}{strconv.FormatUint(to, 10)}
	if err := c.call(ctx, "/v3/maintenance/transfer-leadership", request, &struct{}{}); err != nil {
		return fmt.Errorf("etcd: make member %x the leader: %w", to, err)
	}
	return nil
}
