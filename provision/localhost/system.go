// Package localhost is the computer that slipway runs on: facts about it, its
// programs, files and locks.
package localhost

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// System is what facts are read from: Current, or a fake in tests.
type System interface {
	// OS and Arch are GOOS and GOARCH.
	OS() string
	Arch() string
	// Run runs a program and returns its standard output without surrounding
	// space.
	Run(ctx context.Context, argv ...string) (string, error)
	ReadFile(path string) ([]byte, error)
	// Writable reports whether a file exists and can be opened for writing.
	Writable(path string) bool
	Env(name string) string
	// Home is the home directory; empty if there is none.
	Home() string
	// Root reports whether the effective user is 0.
	Root() bool
	// Reach requests the headers of a page.
	Reach(ctx context.Context, url string) error
}

// Current is the computer that this process runs on.
type Current struct{}

var _ System = Current{}

// OS is runtime.GOOS.
func (Current) OS() string { return runtime.GOOS }

// Arch is runtime.GOARCH.
func (Current) Arch() string { return runtime.GOARCH }

// runTimeout bounds a program that hangs, as Vagrant does behind some proxies.
const runTimeout = 20 * time.Second

// Run runs a program for at most 20 s.
func (Current) Run(ctx context.Context, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).Output()
	return strings.TrimSpace(string(out)), err
}

// ReadFile reads a file.
func (Current) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

// Writable opens the file for writing, and closes it.
func (Current) Writable(path string) bool {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	return file.Close() == nil
}

// Env is a variable of the environment.
func (Current) Env(name string) string { return os.Getenv(name) }

// Home is os.UserHomeDir.
func (Current) Home() string {
	home, _ := os.UserHomeDir() // empty with an error
	return home
}

// Root reports whether the effective user is 0.
func (Current) Root() bool { return os.Geteuid() == 0 }

// reachTimeout bounds Reach.
const reachTimeout = 5 * time.Second

// Reach requests the headers of a page, for at most 5 s.
func (Current) Reach(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return nil
}
