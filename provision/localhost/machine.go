// Package local is what the installer's own computer looks like, on which a
// lab is to run.
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

// Machine is what facts are read through: this computer, or a fake.
type Machine interface {
	// OS and Arch are as Go calls them: linux, darwin, windows; amd64, arm64.
	OS() string
	Arch() string
	// Run runs a program, and gives what it printed.
	Run(ctx context.Context, argv ...string) (string, error)
	ReadFile(path string) ([]byte, error)
	// Writable says whether a file is there and may be written.
	Writable(path string) bool
	Env(name string) string
	Home() string
	// Root says whether this is the superuser.
	Root() bool
	// Reach asks a server for a page, and throws it away.
	Reach(ctx context.Context, url string) error
}

// This is the computer that the program runs on.
type This struct{}

var _ Machine = This{}

// OS is runtime.GOOS.
func (This) OS() string { return runtime.GOOS }

// Arch is runtime.GOARCH.
func (This) Arch() string { return runtime.GOARCH }

// runWithin bounds a program that hangs, as vagrant does behind some proxies.
const runWithin = 20 * time.Second

// Run runs a program for at most 20 s.
func (This) Run(ctx context.Context, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, runWithin)
	defer cancel()
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).Output()
	return strings.TrimSpace(string(out)), err
}

// ReadFile reads a file.
func (This) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

// Writable opens the file for writing, and closes it.
func (This) Writable(path string) bool {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	return file.Close() == nil
}

// Env is a variable of the environment.
func (This) Env(name string) string { return os.Getenv(name) }

// Home is the home directory; empty if there is none.
func (This) Home() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return home
}

// Root says whether the effective user is 0.
func (This) Root() bool { return os.Geteuid() == 0 }

// Reach asks for the headers of a page, for at most 5 s.
func (This) Reach(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
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
