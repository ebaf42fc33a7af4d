package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"

	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/phases/validate"
	"slipway.io/slipway/provision/backup"
	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/lock"
	"slipway.io/slipway/provision/workflow"
)

// The exit codes; docs/exit-codes.md lists them for scripts.
const (
	exitOK          = 0
	exitFailed      = 1   // a phase failed, or an unexpected error
	exitUsage       = 2   // wrong arguments or flags
	exitInventory   = 3   // the inventory is invalid
	exitConnection  = 4   // a host is unreachable, or refuses the connection
	exitPreflight   = 5   // checks found errors; nothing changed
	exitValidation  = 6   // the validation of the cluster failed
	exitLocked      = 7   // another slipway is running
	exitBundle      = 8   // the bundle or the backup is incomplete or damaged
	exitUnknown     = 10  // some checks are inconclusive
	exitWarnings    = 11  // checks found only warnings
	exitChanges     = 12  // plan --detailed-exitcode: there are changes
	exitDegraded    = 13  // status: the cluster works, but is degraded
	exitInterrupted = 130 // Ctrl-C
)

// errInvalidCluster is returned after "addon status" or "status" has printed what is
// not ready.
var errInvalidCluster = errors.New("the cluster is not ready")

// errDegraded is returned after "status" has printed what is degraded.
var errDegraded = errors.New("the cluster is degraded")

// errChanges is returned after "plan --detailed-exitcode" has printed changes.
var errChanges = errors.New("there are changes")

// reported is an error that was printed already.
type reported struct{ error }

func (r reported) Unwrap() error { return r.error }

// childExit is the exit code of ssh.
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
		pinned   *bundle.PinError
		damaged  *backup.DamagedError
		findings *preflight.FindingsError
		failed   *validate.FailedError
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
	case errors.Is(err, errChanges):
		return exitChanges
	case errors.Is(err, errDegraded):
		return exitDegraded
	case errors.As(err, &failed), errors.Is(err, errInvalidCluster):
		return exitValidation
	case errors.As(err, &locked):
		return exitLocked
	case errors.As(err, &unusable), errors.As(err, &corrupt), errors.As(err, &missing), errors.As(err, &pinned), errors.As(err, &damaged):
		return exitBundle
	case errors.As(err, &child):
		return int(child)
	}
	return exitFailed
}

// explain prints an error and what to do next.
func explain(w io.Writer, err error) {
	var printed reported
	if err == nil || errors.As(err, &printed) {
		return
	}
	fmt.Fprintf(w, "slipway: %v\n", err)
	if hint := hintFor(err); hint != "" {
		fmt.Fprintf(w, "next: %s\n", hint)
	}
}

// hintFor is the hint of an error, or else of its kind.
func hintFor(err error) string {
	if hint := workflow.Hint(err); hint != "" {
		return hint
	}
	var hostKey *host.HostKeyError
	switch {
	case errors.As(err, &hostKey) && hostKey.Changed:
		return "if the host was reinstalled, remove its old key with ssh-keygen -R; otherwise this is a man-in-the-middle attack"
	case errors.As(err, &hostKey):
		return "compare the fingerprint with that on the host (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then rerun with --accept-new-host-keys"
	case errors.Is(err, host.ErrAuth):
		return "check ssh.user and ssh.identityFile in the inventory, and authorized_keys on the host"
	case errors.Is(err, host.ErrSudo):
		return "allow the user to run sudo, or pass --ask-sudo-password"
	case errors.Is(err, host.ErrUnreachable):
		return "check address and ssh.port in the inventory, and that sshd is running on the host"
	}
	return ""
}
