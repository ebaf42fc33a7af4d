package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

// unitService is the unit in which kubeadm init runs.
const unitService = "slipway-" + unitName + ".service"

// StoredError says that an interrupted init has stored values that the inventory no
// longer has.
type StoredError struct {
	// Fields are those of kubeadm's configuration, as kubeadm.Change lists them.
	Fields []string
}

func (e *StoredError) Error() string {
	return "kubeadm init was interrupted, and etcd has values that have changed since: " + strings.Join(e.Fields, "; ")
}

// resume prepares the host for an init after an interrupted one. kubeadm keeps the
// files that exist: those that are damaged would stop it, and those with the values
// of another inventory would be used. Both are deleted. The CAs and the data of etcd
// stay.
func resume(ctx context.Context, s *workflow.Step, document []byte) error {
	change, err := changeOf(ctx, s, document)
	if err != nil || !change.Changed && !s.Facts().Joined() && len(s.Facts().Kubernetes.Files) == 0 {
		return err
	}
	files, err := recreate(s, s.Facts(), change)
	if err != nil || len(files) == 0 && !change.Changed {
		return err
	}
	// What the facts show may be the middle of an init that still runs.
	if !change.Changed {
		if runs, err := running(ctx, s); err != nil || runs {
			return err
		}
	}
	if _, err := s.Run(ctx, host.Script("stop.sh", templates.Script("kubeadm/stop.sh"), unitService, "containers")); err != nil {
		return err
	}
	if !s.Planning() {
		now, err := facts.Read(ctx, s)
		if err != nil {
			return err
		}
		if files, err = recreate(s, now, change); err != nil {
			return err
		}
	}
	if len(files) == 0 {
		return nil
	}
	return host.Remove(ctx, s, files...)
}

// changeOf compares the configuration of init with that of the interrupted attempt.
func changeOf(ctx context.Context, s *workflow.Step, document []byte) (kubeadm.Change, error) {
	before, err := s.ReadFile(ctx, initFile)
	if errors.Is(err, fs.ErrNotExist) {
		return kubeadm.Change{}, nil
	}
	if err != nil {
		return kubeadm.Change{}, err
	}
	return kubeadm.Compare(before, document)
}

// recreate returns the files that the interrupted init left and that must not stay,
// or why only a person can decide.
func recreate(s *workflow.Step, f *facts.Facts, change kubeadm.Change) ([]string, error) {
	reset := fmt.Sprintf("remove the unfinished cluster: slipway reset --yes --hosts %s, then slipway apply", s.Target.Config.Name)
	data := kubeadm.HasData(s.Cluster(), f)
	if data && len(change.Stored) > 0 {
		return nil, workflow.WithHint(&StoredError{Fields: change.Stored}, "set these fields back, or "+reset)
	}
	if kubeadm.Skips(s.Cluster(), "certs/ca") {
		return nil, nil // the CAs come from elsewhere
	}
	files, err := kubeadm.Recreate(s.Cluster(), f.Kubernetes, change.Changed, data)
	if err != nil {
		err = workflow.WithHint(err, "restore /etc/kubernetes/pki from a backup, or "+reset)
	}
	return files, err
}

// running reports whether an init of an earlier run still runs.
func running(ctx context.Context, s *workflow.Step) (bool, error) {
	_, err := s.Query(ctx, host.Cmd{Argv: []string{"systemctl", "is-active", "--quiet", unitService}})
	if host.Exited(err) || errors.Is(err, host.ErrPlanned) {
		return false, nil
	}
	return err == nil, err
}

// adminDamaged reports whether the kubeconfig of the administrator cannot be read.
func adminDamaged(f *facts.Facts) bool {
	return slices.Contains(f.Kubernetes.Damaged(), kube.AdminConf)
}
