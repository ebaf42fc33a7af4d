package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/phases/validate"
	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/lock"
	"slipway.io/slipway/provision/workflow"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	inPhase := func(err error) error {
		return errors.Join(errors.New("another one"), &workflow.PhaseError{Phase: "p", Host: "h", Err: workflow.WithHint(err, "hint")})
	}
	tests := []struct {
		name string
		err  error
		want int
	}{
		{"no error", nil, 0},
		{"some error", errors.New("x"), 1},
		{"a command that failed", inPhase(&host.ExitError{Code: 7}), 1},
		{"a usage error", &usageError{errors.New("x")}, 2},
		{"an unknown phase", &workflow.SelectionError{Problems: []string{"x"}}, 2},
		{"an inventory that is not valid", &config.Invalid{Problems: []config.Problem{{Message: "x"}}}, 3},
		{"an unknown host key", inPhase(&host.HostKeyError{}), 4},
		{"a host that cannot be reached", inPhase(fmt.Errorf("dial: %w", host.ErrUnreachable)), 4},
		{"a host that refuses the key", inPhase(host.ErrAuth), 4},
		{"a host that refuses sudo", inPhase(host.ErrSudo), 4},
		{"checks that found errors", inPhase(&preflight.FindingsError{}), 5},
		{"checks that are inconclusive", reported{errUnknown}, 10},
		{"checks that only warn", reported{errWarnings}, 11},
		{"a plan with changes", reported{errChanges}, 12},
		{"a probe that failed", inPhase(&validate.FailedError{}), 6},
		{"an addon that is not ready", reported{errInvalidCluster}, 6},
		{"a cluster that is degraded", reported{errDegraded}, 13},
		{"a lock that another holds", inPhase(&lock.HeldError{}), 7},
		{"a bundle that is damaged", inPhase(&bundle.CorruptError{}), 8},
		{"a bundle that is incomplete", inPhase(&bundle.NotFoundError{}), 8},
		{"a directory that is not a bundle", &bundleError{os.ErrNotExist}, 8},
		{"Ctrl-C", errors.Join(context.Canceled), 130},
		{"Ctrl-C while a host could not be reached", errors.Join(inPhase(host.ErrUnreachable), context.Canceled), 130},
		{"the exit code of ssh", reported{childExit(3)}, 3},
		{"an error that was printed", reported{inPhase(&lock.HeldError{})}, 7},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := exitCode(test.err); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestExitCodesAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/exit-codes.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []int{
		exitOK, exitFailed, exitUsage, exitInventory, exitConnection, exitPreflight, exitValidation, exitLocked, exitBundle, exitUnknown, exitWarnings, exitChanges, exitDegraded, exitInterrupted,
	} {
		if !strings.Contains(string(page), "\n| "+strconv.Itoa(code)+" | ") {
			t.Errorf("docs/exit-codes.md lacks %d", code)
		}
	}
}

func TestAnErrorIsPrintedOnceWithWhatToDo(t *testing.T) {
	t.Parallel()
	plain := errors.New("it broke")
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"nothing", nil, ""},
		{"without a hint", plain, "slipway: it broke\n"},
		{"with its own hint", workflow.WithHint(plain, "fix it"), "slipway: it broke\nnext: fix it\n"},
		{"with its own hint and that of its kind", workflow.WithHint(host.ErrAuth, "fix it"), "slipway: authentication refused\nnext: fix it\n"},
		{"with the same hint twice", errors.Join(workflow.WithHint(plain, "fix it"), workflow.WithHint(plain, "fix it")), "slipway: it broke\nit broke\nnext: fix it\n"},
		{"that the run has printed", reported{workflow.WithHint(plain, "fix it")}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			explain(&out, test.err)
			if got := out.String(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestEveryKindOfConnectionErrorHasAHint(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, want string
		err        error
	}{
		{"an unknown host key", "--accept-new-host-keys", &host.HostKeyError{}},
		{"a changed host key", "ssh-keygen -R", &host.HostKeyError{Changed: true}},
		{"a refused key", "ssh.identityFile", host.ErrAuth},
		{"refused sudo", "--ask-sudo-password", host.ErrSudo},
		{"no answer", "sshd is running", host.ErrUnreachable},
		{"another error", "", errors.New("x")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := hintFor(fmt.Errorf("w-1: %w", test.err))
			if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
