package preflight

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

// connectionCase is why the facts of w-1 could not be read.
type connectionCase struct {
	name, check   string
	err           error
	evidence, fix string
}

func connectionCases() []connectionCase {
	key := host.HostKeyError{Host: "w-1", Address: "192.0.2.21:22", KeyType: "ssh-ed25519", Fingerprint: "SHA256:abc"}
	changed, otherType := key, key
	changed.Changed, changed.Known, changed.KnownTypes = true, []string{"known_hosts:7"}, []string{"ssh-ed25519"}
	otherType.Changed, otherType.Known, otherType.KnownTypes = true, []string{"known_hosts:7"}, []string{"ssh-rsa"}
	return []connectionCase{
		{"no answer", "ssh-connect", fmt.Errorf("w-1: connect to 192.0.2.21:22: %w: refused", host.ErrUnreachable), "connect to 192.0.2.21:22: unreachable: refused", "sshd is running on the host"},
		{"the key is refused", "ssh-auth", fmt.Errorf("w-1: %w", host.ErrAuth), "authentication refused", "ssh-copy-id"},
		{"an unknown host key", "ssh-hostkey", &key, "SHA256:abc", "--accept-new-host-keys"},
		{"a changed host key", "ssh-hostkey", &changed, "known_hosts:7 has another one", "ssh-keygen -R 192.0.2.21"},
		{"a host key of another type", "ssh-hostkey-type", &otherType, "offers ssh-ed25519 SHA256:abc, but known_hosts:7 has only ssh-rsa", "ssh-keygen -R 192.0.2.21"},
		{"sudo requires a password", "sudo-password", fmt.Errorf("w-1: %w: a password is required", host.ErrSudo), "a password is required", "--ask-sudo-password"},
		{"an account without a shell", "ssh-output", fmt.Errorf("w-1: facts.sh a b c: %w: no login today", host.ErrNoShell), "the login shell does not run commands: no login today", "uname -m"},
		{"output that is incomplete", "ssh-output", errors.New("w-1: facts: incomplete"), "facts: incomplete", "uname -m"},
	}
}

func TestEachFailureOfTheConnectionHasItsCheck(t *testing.T) {
	t.Parallel()
	for _, test := range connectionCases() {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, two)
			fixture.Hosts.All[1].SetFacts(nil)
			fixture.Hosts.All[1].SetUnreachable(test.err)
			cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, unmeasured: "no packets in this test"}
			report := cc.report(Selection{})
			complete(t, report)
			errs := report.Findings(check.Error)
			if diff := cmp.Diff([]string{test.check + " w-1 error"}, toldOf(errs)); diff != "" {
				t.Fatal(diff)
			}
			if !strings.Contains(errs[0].Evidence, test.evidence) || strings.Contains(errs[0].Evidence, "facts.sh") || !strings.Contains(errs[0].Fix, test.fix) {
				t.Errorf("got %+v", errs[0])
			}
			// Every check of single hosts reports that it could not run there.
			for _, c := range report.Checks {
				if c.Kind == check.Host && c.Status != check.Skipped && c.Status != check.Unknown && !isConnection(c.Name) {
					t.Errorf("%s is %s", c.Name, c.Status)
				}
			}
		})
	}
}

func isConnection(name string) bool {
	for _, c := range Checks() {
		if c.Name == name {
			return c.connection
		}
	}
	return false
}
