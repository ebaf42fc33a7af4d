//go:build e2e

package e2e

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// collect saves logs and states for debugging a failed step. An error is saved in
// place of what cannot be read.
func (s *scenario) collect(t *testing.T, step string) {
	t.Helper()
	dir := filepath.Join(s.artifacts, strings.ReplaceAll(step, " ", "-"))
	// Delete the files of an earlier run.
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		t.Error(err)
		return
	}
	// The context of the test may have expired.
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	keep := func(name, content string, err error) {
		if err != nil {
			content += "\n" + err.Error() + "\n"
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Error(err)
		}
	}
	for _, m := range s.lab.Machines {
		for name, script := range map[string]string{
			"kubelet":    "journalctl --no-pager -u kubelet",
			"containerd": "journalctl --no-pager -u containerd",
			"units":      "journalctl --no-pager -u 'slipway-*'; tail -n +1 /var/lib/slipway/units/*/log 2>/dev/null || true",
			"containers": "/usr/local/bin/ctr -n k8s.io c ls; /usr/local/bin/ctr -n k8s.io i ls",
			"journal":    "cat /var/lib/slipway/journal*/entries.jsonl",
			"network":    "ip address; ip route; iptables-save",
		} {
			out, err := s.ssh(ctx, m.Name, script)
			keep(m.Name+"-"+name+".log", out, err)
		}
		console, err := os.ReadFile(s.lab.console(m.Name))
		keep(m.Name+"-console.log", string(console), err)
	}
	if s.lab.Inventory != "" {
		for name, args := range map[string][]string{
			"pods":     {"get", "pods", "-A", "-o", "wide"},
			"describe": {"describe", "nodes,pods", "-A"},
			"events":   {"get", "events", "-A", "--sort-by=.lastTimestamp"},
		} {
			if ctx.Err() != nil {
				break // slipway cannot be started
			}
			out, err := s.kubectl(ctx, t, args...)
			keep("cluster-"+name+".log", out, err)
		}
	}
	s.collectRuns(t, dir)
	t.Logf("logs: %s", dir)
}

// collectRuns copies the logs that slipway wrote since the test started.
func (s *scenario) collectRuns(t *testing.T, dir string) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Error(err)
		return
	}
	logs, err := filepath.Glob(filepath.Join(cache, "slipway", "runs", "*"))
	if err != nil {
		t.Error(err)
		return
	}
	for _, path := range logs {
		if info, err := os.Stat(path); err != nil || info.ModTime().Before(s.started) {
			continue
		}
		content, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(path)), content, 0o644)
		}
		if err != nil {
			t.Error(err)
		}
	}
}
