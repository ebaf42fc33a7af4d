package backup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Kept is a backup in a directory.
type Kept struct {
	Path     string   `json:"path"`
	Size     int64    `json:"size"`
	Manifest Manifest `json:"manifest"`
	// Problem is why its manifest cannot be read.
	Problem string `json:"problem,omitempty"`
}

// List returns the backups in a directory, of one cluster if it is not empty, the newest
// first. Those whose manifest cannot be read come last. A directory that does not exist has
// none.
func List(dir, cluster string) ([]Kept, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Kept
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || !strings.HasSuffix(entry.Name(), Suffix) {
			continue
		}
		kept := Kept{Path: filepath.Join(dir, entry.Name()), Size: info.Size()}
		if kept.Manifest, err = ReadManifest(kept.Path); err != nil {
			kept.Problem = err.Error()
		}
		if cluster == "" || kept.Problem != "" || kept.Manifest.Cluster == cluster {
			all = append(all, kept)
		}
	}
	slices.SortStableFunc(all, func(a, b Kept) int { return b.Manifest.Created.Compare(a.Manifest.Created) })
	return all, nil
}

// Old returns the backups that are not among the newest of their cluster. Those whose
// manifest cannot be read are none: nobody knows how old they are.
func Old(all []Kept, keep int) []Kept {
	var old []Kept
	seen := map[string]int{}
	for _, kept := range all {
		if kept.Problem != "" {
			continue
		}
		if seen[kept.Manifest.Cluster]++; seen[kept.Manifest.Cluster] > keep {
			old = append(old, kept)
		}
	}
	return old
}
