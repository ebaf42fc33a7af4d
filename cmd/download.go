package cmd

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

// downloadInterval is the time between two lines about all downloads together.
const downloadInterval = 5 * time.Second

// downloads shows the progress of downloads: a line for each one that is ready, one for
// what delays them, and every few seconds one for all together.
type downloads struct {
	show  func(string)
	meter bundle.Meter
	mu    sync.Mutex
	last  time.Time
}

func showDownloads(show func(string)) *downloads { return &downloads{show: show, last: time.Now()} }

func (d *downloads) progress(p bundle.Progress) {
	d.meter.Add(p)
	if line := download(p); line != "" {
		d.show(line)
		return
	}
	d.mu.Lock()
	due := time.Since(d.last) >= downloadInterval
	if due {
		d.last = time.Now()
	}
	d.mu.Unlock()
	if due {
		d.show("downloading " + d.meter.String())
	}
}

// download describes what happened to one download; empty while it proceeds.
func download(p bundle.Progress) string {
	switch {
	case p.Waiting != nil:
		return fmt.Sprintf("waiting     %v", p.Waiting)
	case p.Retrying != nil:
		return fmt.Sprintf("retrying    %s: %v", p.Name, p.Retrying)
	case p.Cached:
		return "cached      " + p.Name
	case p.Done:
		return fmt.Sprintf("downloaded  %s, %s", p.Name, megabytes(p.Bytes))
	}
	return ""
}

// checkMirrors checks the mirrors of --mirror and --registry.
func checkMirrors(rewrites, registries map[string]string) error {
	for from, to := range rewrites {
		if err := config.CheckRewrite(from, to); err != nil {
			return &usageError{fmt.Errorf("--mirror: %w: write two URL prefixes, such as https://dl.k8s.io/=https://mirror.example/k8s/", err)}
		}
	}
	for registry, mirror := range registries {
		if err := config.CheckRegistryMirror(registry, mirror); err != nil {
			return &usageError{fmt.Errorf("--registry: %w: write registry.k8s.io=mirror.example:5000/k8s, and `docker login` for credentials", err)}
		}
	}
	return nil
}

// withRemedy adds what to do about a download that failed.
func withRemedy(err error) error {
	if hint := bundle.Remedy(err); hint != "" {
		return workflow.WithHint(err, hint)
	}
	return err
}

// overlay returns base with the entries of over.
func overlay(base, over map[string]string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, base)
	maps.Copy(all, over)
	return all
}
