//go:build e2e

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// badInput is an input that apply must refuse.
type badInput struct {
	name string
	// arrange sets up the input, and registers its cleanup. It returns the
	// inventory and further flags.
	arrange func(context.Context, *testing.T, *scenario) (inventory string, flags []string)
	code    int
	// wantStderr are parts of stderr; see expand.
	wantStderr []string
	within     time.Duration
}

const (
	// offline is for input that is refused without a connection.
	offline = 5 * time.Second
	// connected is for input that is refused after connecting to the hosts.
	connected = 20 * time.Second
)

func badInputs() []badInput {
	return []badInput{
		{
			name: "an unknown field", code: 3, within: offline,
			arrange:    edited("ssh:\n", "colour: blue\nssh:\n"),
			wantStderr: []string{"INVENTORY:{colour: blue}: colour", "unknown field"},
		},
		{
			name: "two hosts with the same name", code: 3, within: offline,
			arrange:    edited(`name: "w2"`, `name: "w1"`),
			wantStderr: []string{"hosts[2].name", "INVENTORY:", "w1"},
		},
		{
			name: "overlapping subnets", code: 3, within: offline,
			arrange:    edited("ssh:\n", "network:\n  podSubnet: 10.100.0.0/16\nssh:\n"),
			wantStderr: []string{"INVENTORY:", "network.serviceSubnet", "10.96.0.0/12", "network.podSubnet", "10.100.0.0/16"},
		},
		{
			name: "an unsupported version", code: 3, within: offline,
			arrange:    edited("kubernetes:\n", "kubernetes:\n  version: v1.20.0\n"),
			wantStderr: []string{"INVENTORY:{version: v1.20.0}: kubernetes.version", "1.20", "1.36"},
		},
		{
			name: "an unreachable host", code: 4, within: connected,
			arrange:    unreachable,
			wantStderr: []string{"w2", ".250:22", "unreachable"},
		},
		{
			name: "a refused key", code: 4, within: connected,
			arrange:    refusedKey,
			wantStderr: []string{"cp1", "w1", "w2", "authentication refused", "slipway"},
		},
		{
			name: "an unknown host key", code: 4, within: connected,
			arrange:    unknownHostKey,
			wantStderr: []string{"w1", "is unknown", "--accept-new-host-keys", "KEY"},
		},
		{
			name: "a changed host key, despite the flag to accept new keys", code: 4, within: connected,
			arrange:    changedHostKey,
			wantStderr: []string{"w1", "has changed", "KEY"},
		},
		{
			name: "sudo denied", code: 4, within: connected,
			arrange:    sudoDenied,
			wantStderr: []string{"w1", "sudo denied"},
		},
		{
			name: "a full disk", code: 5, within: connected,
			arrange:    fullDisk,
			wantStderr: []string{"w2", "disk-space", "/var/lib/containerd"},
		},
		{
			name: "a tampered bundle", code: 8, within: 30 * time.Second,
			arrange:    tamperedBundle,
			wantStderr: []string{"kubelet", "sha256"},
		},
		{
			name: "a directory that is not a bundle", code: 8, within: offline,
			arrange:    noBundle,
			wantStderr: []string{"bundle.yaml"},
		},
	}
}

func (s *scenario) badInput(ctx context.Context, t *testing.T) {
	for _, a := range badInputs() {
		t.Run(a.name, func(t *testing.T) { s.refused(ctx, t, a) })
	}
	t.Run("an unknown host key is recorded with --accept-new-host-keys", func(t *testing.T) { s.hostKeysRecorded(ctx, t) })
}

// refused checks that apply refuses the input in time and changes nothing.
func (s *scenario) refused(ctx context.Context, t *testing.T, a badInput) {
	inventory, flags := a.arrange(ctx, t, s)
	before := s.lister.list(t, s.lab)
	r := s.slipway.run(ctx, t, append([]string{"apply", "--inventory", inventory}, flags...)...)
	if r.code != a.code {
		t.Errorf("exit code %d, want %d\n%s", r.code, a.code, r)
	}
	if r.took > a.within {
		t.Errorf("it took %s, want at most %s", r.took, a.within)
	}
	for _, want := range a.wantStderr {
		if want = s.expand(t, want, inventory); !strings.Contains(r.stderr, want) {
			t.Errorf("stderr lacks %q\n%s", want, r)
		}
	}
	s.unchanged(t, before)
}

// expand replaces placeholders: INVENTORY is the path of the inventory, {text} the
// number of the line that contains the text, KEY the fingerprint of w1's host key.
func (s *scenario) expand(t *testing.T, want, inventory string) string {
	t.Helper()
	want = strings.ReplaceAll(want, "INVENTORY", inventory)
	if want == "KEY" {
		return ssh.FingerprintSHA256(s.hostKey(t, "w1"))
	}
	before, rest, found := strings.Cut(want, "{")
	if !found {
		return want
	}
	text, after, _ := strings.Cut(rest, "}")
	return before + lineOf(t, inventory, text) + after
}

func (s *scenario) hostKeysRecorded(ctx context.Context, t *testing.T) {
	inventory, _ := unknownHostKey(ctx, t, s)
	known := filepath.Join(filepath.Dir(inventory), "known_hosts")
	before := s.lister.list(t, s.lab)
	s.slipway.must(ctx, t, "preflight", "--inventory", inventory, "--accept-new-host-keys", anyDisk)
	s.unchanged(t, before)
	content, err := os.ReadFile(known)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range s.lab.Machines {
		key := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.hostKey(t, m.Name))))
		if !strings.Contains(string(content), m.Address) || !strings.Contains(string(content), key) {
			t.Errorf("%s lacks the key of %s:\n%s", known, m.Name, content)
		}
	}
	s.slipway.must(ctx, t, "preflight", "--inventory", inventory, anyDisk) // now it is known
}

// hostKey returns the host key of a machine, from the directory of the lab.
func (s *scenario) hostKey(t *testing.T, machine string) ssh.PublicKey {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(s.lab.dir(), "machines", machine, "ssh_host_ed25519_key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(content)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
