package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"

	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/lock"
	"slipway.io/slipway/provision/workflow"
)

// The exit codes; docs/exit-codes.md lists them for scripts.
const (
	exitOK          = 0
	exitFailed      = 1   // a phase failed, or something unexpected
	exitUsage       = 2   // a mistake on the command line
	exitInventory   = 3   // the inventory is not valid
	exitConnection  = 4   // a machine cannot be reached, or refuses us
	exitPreflight   = 5   // checks found errors; nothing has been changed
	exitValidation  = 6   // the cluster does not pass its validation
	exitLocked      = 7   // another installer is at work
	exitBundle      = 8   // the bundle is missing something or damaged
	exitUnknown     = 10  // some checks could not be answered
	exitWarnings    = 11  // checks found warnings, and nothing worse
	exitInterrupted = 130 // Ctrl-C
)

// errInvalidCluster is returned after the report of a failed validation was
// printed.
var errInvalidCluster = errors.New("the cluster does not pass its validation")

// reported marks an error that the run's own output has told already.
type reported struct{ error }

func (r reported) Unwrap() error { return r.error }

// childExit is the exit code of a program that ran in slipway's place: ssh.
type childExit int

func (c childExit) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func exitCode(err error) int {
	var (
		usage    *usageError
		choice   *workflow.SelectionError
		invalid  *config.Invalid
		hostKey  *host.HostKeyError
		locked   *lock.HeldError
		unusable *bundleError
		corrupt  *bundle.CorruptError
		missing  *bundle.NotFoundError
		findings *preflight.FindingsError
		child    childExit
	)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &usage), errors.As(err, &choice):
		return exitUsage
	case errors.As(err, &invalid):
		return exitInventory
	case errors.As(err, &hostKey), errors.Is(err, host.ErrUnreachable), errors.Is(err, host.ErrAuth), errors.Is(err, host.ErrSudo):
		return exitConnection
	case errors.As(err, &findings):
		return exitPreflight
	case errors.Is(err, errUnknown):
		return exitUnknown
	case errors.Is(err, errWarnings):
		return exitWarnings
	case errors.Is(err, errInvalidCluster):
		return exitValidation
	case errors.As(err, &locked):
		return exitLocked
	case errors.As(err, &unusable), errors.As(err, &corrupt), errors.As(err, &missing):
		return exitBundle
	case errors.As(err, &child):
		return int(child)
	}
	return exitFailed
}

// explain prints an error once, with what to do next.
func explain(w io.Writer, err error) {
	var told reported
	if err == nil || errors.As(err, &told) {
		return
	}
	fmt.Fprintf(w, "slipway: %v\n", err)
	if hint := hintFor(err); hint != "" {
		fmt.Fprintf(w, "next: %s\n", hint)
	}
}

// hintFor is what to do about an error: what a phase said, or what is known of
// its kind.
func hintFor(err error) string {
	if hint := workflow.Hint(err); hint != "" {
		return hint
	}
	var hostKey *host.HostKeyError
	switch {
	case errors.As(err, &hostKey) && hostKey.Changed:
		return "if the machine was really made anew, remove the old key (ssh-keygen -R); else somebody may stand between"
	case errors.As(err, &hostKey):
		return "compare the fingerprint with the machine's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then run again with --accept-new-host-keys"
	case errors.Is(err, host.ErrAuth):
		return "check ssh.user and ssh.identityFile in the inventory, and the machine's authorized_keys"
	case errors.Is(err, host.ErrSudo):
		return "give the user sudo rights, or a password with --ask-sudo-password"
	case errors.Is(err, host.ErrUnreachable):
		return "check address and port in the inventory, and that sshd answers there"
	}
	return ""
}
