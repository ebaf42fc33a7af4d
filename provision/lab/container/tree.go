package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"slipway.io/slipway/provision/lab"
	"slipway.io/slipway/provision/localhost"
)

// uid of User on the machines, as in templates/lab/setup.sh.
const uid = 1000

// ensureTree creates the root file system of a machine: a copy of the base with
// its own identity, renamed to its place when complete. Afterwards only the machine
// writes to it.
func (s *session) ensureTree(ctx context.Context, base string, m *machine, sudoPassword string) error {
	tree := s.treePath(m)
	if _, err := os.Stat(tree); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	temp, err := newTempDir(tree)
	if err != nil {
		return err
	}
	partial := filepath.Join(temp, "tree")
	s.Logf(m.Name, "copies the base tree")
	if _, err := localhost.Run(ctx, "cp", "--archive", "--reflink=auto", base, partial); err != nil {
		return err
	}
	if err := s.personalize(partial, m, sudoPassword == ""); err != nil {
		return err
	}
	if sudoPassword != "" {
		line := strings.NewReader(User + ":" + sudoPassword + "\n")
		if _, err := (localhost.Command{Argv: []string{"chroot", partial, "chpasswd"}, Stdin: line}).Run(ctx); err != nil {
			return fmt.Errorf("set the sudo password: %w", err)
		}
	}
	if err := os.Rename(partial, tree); err != nil {
		return err
	}
	return os.Remove(temp)
}

// newTempDir creates a temporary directory beside path, and deletes those of killed
// attempts. A program that a killed attempt started may still write to its directory,
// so each attempt has a new one.
func newTempDir(path string) (string, error) {
	old, err := filepath.Glob(path + ".partial-*")
	if err != nil {
		return "", err
	}
	for _, dir := range old {
		if err := removeTree(dir); err != nil {
			return "", err
		}
	}
	return os.MkdirTemp(filepath.Dir(path), filepath.Base(path)+".partial-*")
}

// personalize writes the files that differ between machines.
func (s *session) personalize(tree string, m *machine, sudoWithoutPassword bool) error {
	root, err := os.OpenRoot(tree)
	if err != nil {
		return err
	}
	defer root.Close()
	hostKey, err := os.ReadFile(s.hostKeyPath(m))
	if err != nil {
		return err
	}
	hostPublic, err := os.ReadFile(s.hostKeyPath(m) + ".pub")
	if err != nil {
		return err
	}
	userPublic, err := os.ReadFile(s.identityPath() + ".pub")
	if err != nil {
		return err
	}
	type file struct {
		path, content string
		mode          fs.FileMode
	}
	files := []file{
		{"etc/machine-id", newMachineID() + "\n", 0o444},
		{"etc/hostname", m.Name + "\n", 0o644},
		{"etc/hosts", etcHosts(m), 0o644},
		{"etc/resolv.conf", resolvConf(m), 0o644},
		{"etc/slipway-lab/network.env", s.networkEnv(m), 0o644},
		{"etc/ssh/ssh_host_ed25519_key", string(hostKey), 0o600},
		{"etc/ssh/ssh_host_ed25519_key.pub", string(hostPublic), 0o644},
		{"etc/sudoers.d/slipway", sudoers(sudoWithoutPassword), 0o440},
		{"home/" + User + "/.ssh/authorized_keys", string(userPublic), 0o600},
	}
	if s.state.Repository != nil {
		files = append(files, file{"etc/apt/sources.list", s.aptSource(), 0o644})
	}
	for _, file := range files {
		if err := root.MkdirAll(filepath.Dir(file.path), 0o755); err != nil {
			return err
		}
		if err := replaceFile(root, file.path, []byte(file.content), file.mode); err != nil {
			return err
		}
	}
	home := "home/" + User + "/.ssh"
	return errors.Join(
		root.Chmod(home, 0o700),
		root.Lchown(home, uid, uid),
		root.Lchown(home+"/authorized_keys", uid, uid),
	)
}

// etcHosts maps the machine's name to its address, never to 127.0.1.1.
func etcHosts(m *machine) string {
	return fmt.Sprintf("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n%s %s\n", m.Address, m.Name)
}

// resolvConf has the machine itself as the name server, where nothing answers: a
// lookup fails at once. CoreDNS needs a name server to start, and refuses 127.0.0.1
// as a loop.
func resolvConf(m *machine) string {
	return fmt.Sprintf("nameserver %s\noptions timeout:1 attempts:1\n", m.Address)
}

// networkEnv is the environment of slipway-lab-network.service.
func (s *session) networkEnv(m *machine) string {
	return fmt.Sprintf("ADDRESS=%s\nPREFIX_LENGTH=%d\nGATEWAY=%s\n", m.Address, s.state.Subnet.Bits(), lab.Nth(s.state.Subnet, 1))
}

func sudoers(withoutPassword bool) string {
	if withoutPassword {
		return User + " ALL=(ALL:ALL) NOPASSWD: ALL\n"
	}
	return User + " ALL=(ALL:ALL) ALL\n"
}
