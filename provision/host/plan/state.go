package plan

import (
	"path"
	"strings"
	"sync"
)

// State holds what a plan creates and starts on a host. All plans of one host share
// it. The zero value is a host without planned changes.
type State struct {
	mu sync.Mutex
	// names are services, and paths of files and directories; the path of a
	// directory with all that is in it ends with a slash.
	names map[string]bool
}

// Add records that the plan creates or starts something: a service by the name of
// its unit, a file or directory by its path, and a directory with all that is in it
// by its path with a slash at the end.
func (s *State) Add(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil {
		s.names = map[string]bool{}
	}
	for _, name := range names {
		s.names[name] = true
	}
}

// Has reports whether the plan creates a path or starts a service.
func (s *State) Has(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names[name] {
		return true
	}
	for dir := path.Dir(name); strings.HasPrefix(dir, "/") && dir != "/"; dir = path.Dir(dir) {
		if s.names[dir+"/"] {
			return true
		}
	}
	return false
}

// hasProgram reports whether the plan creates a program: a path, or a name that the
// host finds in the directories of its PATH.
func (s *State) hasProgram(program string) bool {
	if strings.Contains(program, "/") {
		return s.Has(program)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.names {
		if path.Base(path.Dir(name)) == "bin" && path.Base(name) == program {
			return true
		}
	}
	return false
}
