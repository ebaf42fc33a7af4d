package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// settle is how old a file's last change must be before a verification of it
// is remembered: a change within the same tick of the file system's clock
// would not show.
const settle = 2 * time.Second

// stamps remember which files of a bundle were hashed, and what the file
// system said of each then. The change time among it cannot be set by anybody,
// so that a file whose stamp is the same has not been written since. A stamp
// that is damaged or missing only costs the time to hash the file again.
type stamps struct {
	path string

	mu    sync.Mutex
	known map[string]stamp
	fresh map[string]stamp
}

// stamp is what the file system says of a file that had the sum.
type stamp struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
	// Modified and Changed are nanoseconds since 1970.
	Modified int64 `json:"modified"`
	Changed  int64 `json:"changed"`
}

// loadStamps reads those of the bundle in dir, from the user's cache folder;
// without one, nothing is remembered.
func loadStamps(dir string) *stamps {
	s := &stamps{known: map[string]stamp{}, fresh: map[string]stamp{}}
	cache, err := os.UserCacheDir()
	if err != nil {
		return s
	}
	name := sha256.Sum256([]byte(dir))
	s.path = filepath.Join(cache, "slipway", "verified", hex.EncodeToString(name[:8])+".json")
	if content, err := os.ReadFile(s.path); err == nil && json.Unmarshal(content, &s.known) != nil {
		s.known = map[string]stamp{}
	}
	return s
}

// has says whether the file was found to have the sum, and is as it was then.
func (s *stamps) has(it item, info fs.FileInfo) bool {
	now, ok := stampOf(info)
	now.SHA256 = it.sha256
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok || s.known[it.path] != now {
		return false
	}
	s.fresh[it.path] = now
	return true
}

// add remembers a file that was just hashed; info is from before that.
func (s *stamps) add(it item, info fs.FileInfo) {
	now, ok := stampOf(info)
	if !ok || time.Since(time.Unix(0, now.Changed)) < settle {
		return
	}
	now.SHA256 = it.sha256
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fresh[it.path] = now
}

// save keeps the stamps of this verification. That it cannot is no error: the
// next one takes longer.
func (s *stamps) save() {
	if s.path == "" {
		return
	}
	content, err := json.Marshal(s.fresh)
	if err != nil || os.MkdirAll(filepath.Dir(s.path), 0o700) != nil {
		return
	}
	part, err := os.CreateTemp(filepath.Dir(s.path), ".part-*")
	if err != nil {
		return
	}
	_, err = part.Write(content)
	if closing := part.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(part.Name(), s.path)
	}
	if err != nil {
		_ = os.Remove(part.Name())
	}
}
