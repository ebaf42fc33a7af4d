package host_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
)

// alteringHost alters the standard input of the commands that it runs.
type alteringHost struct {
	hosttest.Local
	alter func([]byte) []byte
}

func (h alteringHost) Run(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	sent, err := io.ReadAll(cmd.Stdin)
	if err != nil {
		return host.Result{}, err
	}
	cmd.Stdin = bytes.NewReader(h.alter(sent))
	return h.Local.Run(ctx, cmd)
}

func TestSenderMovesVerifiedFilesToTheirPaths(t *testing.T) {
	t.Parallel()
	source, target := t.TempDir(), t.TempDir()
	blobs := []host.Blob{
		blob(t, source, "kubelet", "new kubelet", target+"/bin", 0o755),
		blob(t, source, "bridge", "bridge", target+"/cni", 0o755),
		blob(t, source, "notes", "notes", target+"/bin", 0),
	}
	if err := os.MkdirAll(target+"/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(target+"/bin/kubelet", []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	var sender host.Sender
	if err := sender.Send(t.Context(), hosttest.Local{}, blobs); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/bin/kubelet": "new kubelet", "/bin/notes": "notes", "/cni/bridge": "bridge"} {
		if have, err := os.ReadFile(target + path); err != nil || string(have) != want {
			t.Errorf("%s: %q, %v; want %q", path, have, err, want)
		}
	}
	for path, want := range map[string]os.FileMode{"/bin/kubelet": 0o755, "/bin/notes": 0o644} {
		if info, err := os.Stat(target + path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v; want %v", path, info.Mode(), err, want)
		}
	}
	nothingLeft(t, target)
}

func TestSenderRefusesAFileThatWasAlteredOnTheWay(t *testing.T) {
	t.Parallel()
	for name, env := range map[string][]string{"by BLAKE2b": nil, "by SHA-256 without b2sum": {"PATH=" + withoutB2sum(t)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, target := t.TempDir(), t.TempDir()
			alter := func(sent []byte) []byte { return bytes.Replace(sent, []byte("good"), []byte("evil"), 1) }
			var sender host.Sender
			err := sender.Send(t.Context(), alteringHost{hosttest.Local{Env: env}, alter}, []host.Blob{blob(t, source, "kubelet", "good", target, 0o755)})
			if !errors.Is(err, host.ErrCorrupt) {
				t.Errorf("Send: %v, want %v", err, host.ErrCorrupt)
			}
			if _, err := os.Stat(target + "/kubelet"); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the altered file was put in place (%v)", err)
			}
			nothingLeft(t, target)
		})
	}
}

func TestSenderRemovesTheFilesOfKilledUploads(t *testing.T) {
	t.Parallel()
	source, target := t.TempDir(), t.TempDir()
	killed := target + "/.slipway-4194305.abcdefgh" // above the highest process ID of Linux
	running := fmt.Sprintf("%s/.slipway-%d.abcdefgh", target, os.Getpid())
	for _, dir := range []string{killed, running} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var sender host.Sender
	if err := sender.Send(t.Context(), hosttest.Local{}, []host.Blob{blob(t, source, "kubelet", "good", target, 0o755)}); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(target + "/.slipway-*")
	if err != nil || len(left) != 1 || left[0] != running {
		t.Errorf("left behind: %v, %v; want only %s, of a running upload", left, err, running)
	}
}

func TestSenderRefusesALocalFileWithAnotherChecksum(t *testing.T) {
	t.Parallel()
	source, target := t.TempDir(), t.TempDir()
	tampered := blob(t, source, "kubelet", "good", target, 0o755)
	if err := os.WriteFile(tampered.Source, []byte("evil"), 0o600); err != nil {
		t.Fatal(err)
	}
	var sender host.Sender
	if err := sender.Send(t.Context(), hosttest.Local{}, []host.Blob{tampered}); !errors.Is(err, host.ErrCorrupt) || !strings.Contains(err.Error(), tampered.Source) {
		t.Errorf("Send: %v, want an error about %s", err, tampered.Source)
	}
}

func TestSenderReportsTheErrorOfTheHost(t *testing.T) {
	t.Parallel()
	source := t.TempDir()
	// mkdir fails because a file has the name of the directory.
	target := filepath.Join(source, "kubelet")
	var sender host.Sender
	err := sender.Send(t.Context(), hosttest.Local{}, []host.Blob{blob(t, source, "kubelet", "good", target, 0o755)})
	if err == nil || errors.Is(err, host.ErrCorrupt) || !strings.Contains(err.Error(), "mkdir") {
		t.Errorf("Send: %v, want the error of mkdir", err)
	}
}

func blob(t *testing.T, source, name, content, dir string, mode os.FileMode) host.Blob {
	t.Helper()
	path := filepath.Join(source, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(content))
	return host.Blob{Path: dir + "/" + name, Source: path, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(content)), Mode: mode}
}

// withoutB2sum returns a PATH with every program that the script needs, except
// b2sum.
func withoutB2sum(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"sh", "mkdir", "mktemp", "rm", "tar", "stat", "sha256sum", "mv", "sync"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(dir + "/.slipway-*")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob(dir + "/*/.slipway-*")
	if err != nil {
		t.Fatal(err)
	}
	if left = append(left, more...); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
