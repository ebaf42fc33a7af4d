//go:build e2e

package e2e

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"sigs.k8s.io/yaml"
)

// edit copies the lab's inventory, with its keys, to a new directory, and
// replaces text in it. Fails the test if the inventory lacks the text.
func (s *scenario) edit(t *testing.T, replacements ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"inventory.yaml", "id_ed25519", "known_hosts"} {
		content, err := os.ReadFile(filepath.Join(s.lab.dir(), name))
		if err != nil {
			t.Fatal(err)
		}
		text := string(content)
		for i := 0; name == "inventory.yaml" && i < len(replacements); i += 2 {
			if !strings.Contains(text, replacements[i]) {
				t.Fatalf("the inventory lacks %q:\n%s", replacements[i], text)
			}
			text = strings.ReplaceAll(text, replacements[i], replacements[i+1])
		}
		write(t, filepath.Join(dir, name), text)
	}
	return filepath.Join(dir, "inventory.yaml")
}

// copied is edit without replacements, with the decoded content of the copy.
func (s *scenario) copied(t *testing.T) (path string, inventory map[string]any) {
	t.Helper()
	path = s.edit(t)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(content, &inventory); err != nil {
		t.Fatal(err)
	}
	return path, inventory
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// lineOf returns the number of the first line that contains the text.
func lineOf(t *testing.T, path, text string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, _, found := strings.Cut(string(content), text)
	if !found {
		t.Fatalf("%s lacks %q", path, text)
	}
	return strconv.Itoa(1 + strings.Count(before, "\n"))
}

// edited returns an arrange function for an inventory with some text replaced.
func edited(replacements ...string) func(context.Context, *testing.T, *scenario) (string, []string) {
	return func(_ context.Context, t *testing.T, s *scenario) (string, []string) {
		return s.edit(t, replacements...), nil
	}
}

// unreachable gives w2 an address of the lab that no machine uses.
func unreachable(_ context.Context, t *testing.T, s *scenario) (string, []string) {
	used := s.lab.machine("w2").Address
	network := used[:strings.LastIndex(used, ".")]
	return s.edit(t, strconv.Quote(used), strconv.Quote(network+".250")), nil
}

func newKey(t *testing.T) (private []byte, public ssh.PublicKey) {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(priv, "test")
	if err != nil {
		t.Fatal(err)
	}
	if public, err = ssh.NewPublicKey(pub); err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block), public
}

// refusedKey uses an SSH key that no machine accepts.
func refusedKey(_ context.Context, t *testing.T, s *scenario) (string, []string) {
	inventory := s.edit(t)
	private, _ := newKey(t)
	write(t, filepath.Join(filepath.Dir(inventory), "id_ed25519"), string(private))
	return inventory, nil
}

// unknownHostKey uses an empty known_hosts file.
func unknownHostKey(_ context.Context, t *testing.T, s *scenario) (string, []string) {
	inventory := s.edit(t)
	write(t, filepath.Join(filepath.Dir(inventory), "known_hosts"), "")
	return inventory, nil
}

// changedHostKey has another key for w1 in known_hosts, and accepts new host keys.
func changedHostKey(_ context.Context, t *testing.T, s *scenario) (string, []string) {
	inventory := s.edit(t)
	_, other := newKey(t)
	line := s.lab.machine("w1").Address + " " + string(ssh.MarshalAuthorizedKey(other))
	write(t, filepath.Join(filepath.Dir(inventory), "known_hosts"), line)
	return inventory, []string{"--accept-new-host-keys"}
}

// sudoDenied logs in to w1 as a user without sudo rights.
func sudoDenied(ctx context.Context, t *testing.T, s *scenario) (string, []string) {
	s.mustSSH(ctx, t, "w1", `useradd --create-home plain
		install -d -o plain -g plain -m 0700 /home/plain/.ssh
		install -o plain -g plain -m 0600 /home/slipway/.ssh/authorized_keys /home/plain/.ssh/authorized_keys`)
	t.Cleanup(func() {
		// userdel fails while the user is still logging out.
		s.mustSSH(context.WithoutCancel(ctx), t, "w1", "userdel --remove --force plain 2>/dev/null || ! id plain")
	})
	host := `address: "` + s.lab.machine("w1").Address + `"`
	return s.edit(t, host, host+"\n    ssh: {user: plain}"), nil
}

// fullDisk mounts a small file system on the image directory of w2.
func fullDisk(ctx context.Context, t *testing.T, s *scenario) (string, []string) {
	const dir = "/var/lib/containerd"
	s.mustSSH(ctx, t, "w2", "mkdir "+dir+" && mount -t tmpfs -o size=16m full "+dir)
	t.Cleanup(func() {
		s.mustSSH(context.WithoutCancel(ctx), t, "w2", "umount "+dir+" && rmdir "+dir)
	})
	return s.edit(t), nil
}

// noBundle uses an empty directory as the bundle.
func noBundle(_ context.Context, t *testing.T, s *scenario) (string, []string) {
	return s.edit(t, strconv.Quote(s.bundle), strconv.Quote(t.TempDir())), nil
}

// tamperedBundle uses a copy of the bundle with one changed byte in kubelet.
func tamperedBundle(_ context.Context, t *testing.T, s *scenario) (string, []string) {
	target := filepath.Join(t.TempDir(), "bundle")
	link(t, s.bundle, target)
	path := filepath.Join(target, s.bundled(t, "kubelet"))
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	// The copy is a hard link: writing in place would change the bundle.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
	return s.edit(t, strconv.Quote(s.bundle), strconv.Quote(target)), nil
}

// link copies a directory with hard links, or by content across file systems.
func link(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		if os.Link(path, target) == nil {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o755)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// bundled returns the path of a program, relative to the bundle.
func (s *scenario) bundled(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(s.bundle, "bundle.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Files []struct{ Name, Path string } `json:"files"`
	}
	if err := yaml.Unmarshal(content, &manifest); err != nil {
		t.Fatal(err)
	}
	for _, f := range manifest.Files {
		if f.Name == name {
			return f.Path
		}
	}
	t.Fatalf("%s is not in the bundle", name)
	return ""
}
