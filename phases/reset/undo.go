package reset

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/journal"
	"slipway.io/slipway/provision/host/systemd"
	"slipway.io/slipway/provision/workflow"
)

const containerdState = "/var/lib/containerd"

// sharedFiles are files that people edit too: their single lines are undone.
var sharedFiles = []string{"/etc/fstab", "/etc/hosts"}

// trees are directories that nobody but the cluster writes to. If slipway created
// them, they are deleted with their content. Other directories are deleted when they
// are empty.
var trees = []string{"/var/lib/etcd", "/var/lib/kubelet", containerdState}

// Undo undoes the entries of the journal, the last one first, and archives it.
func Undo() workflow.Phase {
	return workflow.Phase{
		Name:  "undo",
		Title: "undo the changes in the journal",
		Why: "Changed files are restored, created files are deleted, and swap, services and sysctls return to their previous " +
			"state. What somebody else wrote since stays.",
		Manual: []string{
			"cat /var/lib/slipway/journal/*    # the changes, and the files that were replaced",
			"systemctl disable --now keepalived haproxy    # unless they were enabled before; before their files are deleted",
			"rm -rf /var/lib/etcd /var/lib/kubelet /var/log/pods    # only what the journal lists as created",
			"rm FILE    # for each of the cluster in /etc/kubernetes, /etc/cni/net.d, /opt/cni/bin",
		},
		On:    workflow.EachHost,
		Needs: []string{"network", "node"},
		Done:  notOurs,
		Do:    undo,
	}
}

func undo(ctx context.Context, s *workflow.Step) error {
	entries, err := journal.Read(ctx, s)
	if err != nil {
		return err
	}
	if entries, err = keepContainers(ctx, s, entries); err != nil {
		return err
	}
	services := changed(entries)
	if err := stopServices(ctx, s, services); err != nil {
		return err
	}
	// Directories are deleted when they are empty.
	if err := run(ctx, s, "leftovers.sh", journal.Dir, ""); err != nil {
		return err
	}
	if err := undoEntries(ctx, s, entries); err != nil {
		return err
	}
	if err := run(ctx, s, "sysctls.sh", journal.Dir); err != nil {
		return err
	}
	if err := run(ctx, s, "services.sh", append([]string{journal.Dir}, services...)...); err != nil {
		return err
	}
	archive := journal.Dir + "-" + time.Now().UTC().Format("20060102T150405Z")
	return run(ctx, s, "archive.sh", journal.Dir, archive, configFile, stopFile, podList, systemd.StartsDir)
}

func undoEntries(ctx context.Context, s *workflow.Step, entries []journal.Entry) error {
	var paths []string
	flush := func() error {
		if len(paths) == 0 {
			return nil
		}
		args := append([]string{journal.Dir}, paths...)
		paths = nil
		return run(ctx, s, "undo.sh", args...)
	}
	for _, e := range slices.Backward(entries) {
		switch {
		case e.Kind == "file" && e.Existed && slices.Contains(sharedFiles, e.Path):
			if err := flush(); err != nil {
				return err
			}
			if err := run(ctx, s, "lines.sh", journal.Dir, e.Path); err != nil {
				return err
			}
		case e.Kind == "file" || e.Kind == "dir":
			kind := e.Kind
			if kind == "dir" && slices.Contains(trees, e.Path) {
				kind = "tree"
			}
			paths = append(paths, kind, strconv.FormatBool(e.Existed), e.Path, e.Made)
		case len(e.Undo) > 0:
			if err := flush(); err != nil {
				return err
			}
			if err := undoCommand(ctx, s, e.Undo); err != nil {
				return err
			}
		}
	}
	return flush()
}

// undoCommand runs the undo of a command. A failure of the undo itself is reported
// and not fatal: a service that no longer exists cannot be disabled.
func undoCommand(ctx context.Context, s *workflow.Step, argv []string) error {
	_, err := s.WithoutJournal().Run(ctx, host.Cmd{Argv: argv, Sudo: true})
	if host.Exited(err) {
		s.Note("%s: %v", strings.Join(argv, " "), err)
		return nil
	}
	return err
}

// keepContainers leaves out the state of containerd if containers outside of
// Kubernetes use it.
func keepContainers(ctx context.Context, s *workflow.Step, entries []journal.Entry) ([]journal.Entry, error) {
	state := func(e journal.Entry) bool { return e.Path == containerdState && !e.Existed }
	if !slices.ContainsFunc(entries, state) {
		return entries, nil
	}
	find := []string{"find", tasks, "-mindepth", "2", "-maxdepth", "2", "-not", "-path", bundles + "/*"}
	res, err := s.Query(ctx, host.Cmd{Argv: find, Sudo: true})
	if err != nil && !host.Exited(err) {
		return nil, err
	}
	containers := strings.Fields(strings.ReplaceAll(string(res.Stdout), tasks+"/", ""))
	if len(containers) == 0 {
		return entries, nil
	}
	s.Note("left %s, which these containers use: %s", containerdState, strings.Join(containers, ", "))
	return slices.DeleteFunc(entries, state), nil
}
