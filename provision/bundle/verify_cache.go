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

	"slipway.io/slipway/provision/localhost"
)

// minAge is how old a file's last change must be to enter the cache: a second
// change within one tick of the file system's clock would go unnoticed.
const minAge = 2 * time.Second

// verifyCache holds the state in the file system of each file of a bundle that
// was verified. No program can set the change time, so a file whose state is
// the same has not been written since. Without a valid entry, a file is hashed.
type verifyCache struct {
	path string

	mu    sync.Mutex
	known map[string]fileState
	fresh map[string]fileState
}

// fileState identifies a version of a file that has the sum.
type fileState struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
	// Modified and Changed are nanoseconds since 1970.
	Modified int64 `json:"modified"`
	Changed  int64 `json:"changed"`
}

// loadVerifyCache reads the cache for the bundle in dir from the user's cache
// directory. Without such a directory, the cache is empty and is not saved.
func loadVerifyCache(dir string) *verifyCache {
	c := &verifyCache{known: map[string]fileState{}, fresh: map[string]fileState{}}
	userCache, err := os.UserCacheDir()
	if err != nil {
		return c
	}
	name := sha256.Sum256([]byte(dir))
	c.path = filepath.Join(userCache, "slipway", "verified", hex.EncodeToString(name[:8])+".json")
	if content, err := os.ReadFile(c.path); err == nil && json.Unmarshal(content, &c.known) != nil {
		c.known = map[string]fileState{}
	}
	return c
}

// has reports whether the file was verified and has not changed since.
func (c *verifyCache) has(it item, info fs.FileInfo) bool {
	state, ok := stateOf(info)
	state.SHA256 = it.sha256
	c.mu.Lock()
	defer c.mu.Unlock()
	if !ok || c.known[it.path] != state {
		return false
	}
	c.fresh[it.path] = state
	return true
}

// add records a file that was just hashed; info is from before that.
func (c *verifyCache) add(it item, info fs.FileInfo) {
	state, ok := stateOf(info)
	if !ok || time.Since(time.Unix(0, state.Changed)) < minAge {
		return
	}
	state.SHA256 = it.sha256
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fresh[it.path] = state
}

// save writes the entries of this verification. Errors are ignored: they only
// make the next verification slower.
func (c *verifyCache) save() {
	if c.path == "" {
		return
	}
	content, err := json.Marshal(c.fresh)
	if err == nil && os.MkdirAll(filepath.Dir(c.path), 0o700) == nil {
		_ = localhost.WriteFile(c.path, content, 0o600)
	}
}
