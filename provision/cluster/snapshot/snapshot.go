// Package snapshot saves the data of etcd on a host, and restores it, with the programs of
// the image that runs there.
package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

// Snapshot is a verified snapshot of etcd.
type Snapshot struct {
	// Path is where it is on the host.
	Path string `json:"path"`
	// Image is the image of etcd that ran there.
	Image string `json:"image"`
	// Size and SHA256 are those of the file.
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	// Hash is etcd's own checksum of the content, Revision that of the last change, Keys
	// the number of keys. StorageVersion is the version of the format: "3.6.0".
	Hash           uint32 `json:"hash"`
	Revision       int64  `json:"revision"`
	Keys           int    `json:"keys"`
	StorageVersion string `json:"storageVersion"`
}

// Take saves a snapshot of the member of etcd that runs on the host of a step, verifies it
// and puts it at a path, with mode 0600. The directory has mode 0700, and is created. What
// is at the path is replaced when the new snapshot is whole and on disk. In a plan, the
// result has the path only.
func Take(ctx context.Context, s *workflow.Step, file string) (Snapshot, error) {
	return TakeOn(ctx, s, s.Target, file)
}

// TakeOn is Take on another host than that of the step.
func TakeOn(ctx context.Context, s *workflow.Step, h *workflow.Host, file string) (Snapshot, error) {
	if !path.IsAbs(file) {
		return Snapshot{}, fmt.Errorf("the path of a snapshot must be absolute, not %q", file)
	}
	script := host.Script("etcd-snapshot.sh", templates.Script("etcd/snapshot.sh"), file)
	script.Output = s.Output()
	res, err := s.On(h).Run(ctx, script)
	if err != nil {
		return Snapshot{}, workflow.WithHint(fmt.Errorf("snapshot of etcd: %w", err),
			fmt.Sprintf("see whether etcd works: slipway status; and its log on %s: /var/log/pods/kube-system_etcd-*", h.Config.Name))
	}
	if s.Planning() {
		return Snapshot{Path: file}, nil
	}
	taken, err := parse(string(res.Stdout))
	if err != nil {
		return Snapshot{}, fmt.Errorf("%s: snapshot of etcd: %w", h.Config.Name, err)
	}
	taken.Path = file
	return taken, nil
}

// parse reads the output of snapshot.sh.
func parse(out string) (Snapshot, error) {
	var s Snapshot
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		var err error
		switch key {
		case "image":
			s.Image = value
		case "size":
			s.Size, err = strconv.ParseInt(value, 10, 64)
		case "sha256":
			s.SHA256 = value
		case "status":
			var status struct {
				Hash     uint32 `json:"hash"`
				Revision int64  `json:"revision"`
				Keys     int    `json:"totalKey"`
				Version  string `json:"version"`
			}
			err = json.Unmarshal([]byte(value), &status)
			s.Hash, s.Revision, s.Keys, s.StorageVersion = status.Hash, status.Revision, status.Keys, status.Version
		}
		if err != nil {
			return Snapshot{}, fmt.Errorf("%q: %w", strings.TrimSpace(line), err)
		}
	}
	switch {
	case s.Size == 0 || len(s.SHA256) != 64:
		return Snapshot{}, fmt.Errorf("no size and checksum in %q", out)
	case s.Hash == 0 || s.Revision == 0 || s.Keys == 0:
		return Snapshot{}, errors.New("it is empty: it has no revision or no keys")
	}
	return s, nil
}
