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

// attempt is an apply that must be refused.
type attempt struct {
	name string
	// arrange prepares it, and takes that back in a cleanup of the test; it
	// returns the inventory and what else the command line has.
	arrange func(context.Context, *testing.T, *scenario) (inventory string, flags []string)
	code    int
	// says is what the reader must be told; LAB stands for the inventory's path.
	says   []string
	within time.Duration
}

const (
	// atOnce is for what needs no machine.
	atOnce = 5 * time.Second
	// quickly is for machines that refuse at once, or not at all.
	quickly = 20 * time.Second
)

func attempts() []attempt {
	return []attempt{
		{
			name: "an unknown field", code: 3, within: atOnce,
			arrange: edited("ssh:\n", "colour: blue\nssh:\n"),
			says:    []string{"INVENTORY:{colour: blue}: colour", "unknown field"},
		},
		{
			name: "two hosts of one name", code: 3, within: atOnce,
			arrange: edited(`name: "w2"`, `name: "w1"`),
			says:    []string{"hosts[2].name", "INVENTORY:", "w1"},
		},
		{
			name: "overlapping subnets", code: 3, within: atOnce,
			arrange: edited("ssh:\n", "network:\n  podSubnet: 10.100.0.0/16\nssh:\n"),
			says:    []string{"INVENTORY:", "network.serviceSubnet", "10.96.0.0/12", "network.podSubnet", "10.100.0.0/16"},
		},
		{
			name: "an unsupported version", code: 3, within: atOnce,
			arrange: edited("kubernetes:\n", "kubernetes:\n  version: v1.20.0\n"),
			says:    []string{"INVENTORY:{version: v1.20.0}: kubernetes.version", "1.20", "1.36"},
		},
		{
			name: "an unreachable host", code: 4, within: quickly,
			arrange: unreachable,
			says:    []string{"w2", ".250:22", "unreachable"},
		},
		{
			name: "a refused key", code: 4, within: quickly,
			arrange: refusedKey,
			says:    []string{"cp1", "w1", "w2", "authentication refused", "slipway"},
		},
		{
			name: "an unknown host key", code: 4, within: quickly,
			arrange: unknownHostKey,
			says:    []string{"w1", "is unknown", "--accept-new-host-keys", "KEY"},
		},
		{
			name: "a changed host key, whatever the flags", code: 4, within: quickly,
			arrange: changedHostKey,
			says:    []string{"w1", "has changed", "KEY"},
		},
		{
			name: "sudo denied", code: 4, within: quickly,
			arrange: sudoDenied,
			says:    []string{"w1", "sudo denied"},
		},
		{
			name: "a full disk", code: 5, within: quickly,
			arrange: fullDisk,
			says:    []string{"w2", "disk-space", "/var/lib/containerd"},
		},
		{
			name: "a tampered bundle", code: 8, within: 30 * time.Second,
			arrange: tamperedBundle,
			says:    []string{"kubelet", "sha256"},
		},
		{
			name: "a bundle that is none", code: 8, within: atOnce,
			arrange: noBundle,
			says:    []string{"bundle.yaml"},
		},
	}
}

func (s *scenario) badInput(ctx context.Context, t *testing.T) {
	for _, a := range attempts() {
		t.Run(a.name, func(t *testing.T) { s.refused(ctx, t, a) })
	}
	t.Run("an unknown host key is recorded where the flag allows it", func(t *testing.T) { s.hostKeysRecorded(ctx, t) })
}

// refused makes the attempt and looks at what came of it.
func (s *scenario) refused(ctx context.Context, t *testing.T, a attempt) {
	inventory, flags := a.arrange(ctx, t, s)
	before := s.lister.list(t, s.lab)
	r := s.slipway.run(ctx, t, append([]string{"apply", "--inventory", inventory}, flags...)...)
	if r.code != a.code {
		t.Errorf("exit code %d, want %d\n%s", r.code, a.code, r)
	}
	if r.took > a.within {
		t.Errorf("it took %s, not less than %s", r.took, a.within)
	}
	for _, want := range a.says {
		if want = s.expand(t, want, inventory); !strings.Contains(r.stderr, want) {
			t.Errorf("it does not say %q\n%s", want, r)
		}
	}
	s.unchanged(t, before)
}

// expand fills in what a message names: INVENTORY is the inventory's path,
// {text} the number of the line that holds the text, KEY w1's fingerprint.
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
	s.slipway.must(ctx, t, "preflight", "--inventory", inventory, "--accept-new-host-keys")
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
	s.slipway.must(ctx, t, "preflight", "--inventory", inventory) // known from now on
}

// hostKey is a machine's, from the lab's own record of it.
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
