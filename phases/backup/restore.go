package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"slipway.io/slipway/provision/backup"
	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/cluster/snapshot"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
)

// Source is what Restore restores.
type Source struct {
	// Content is the backup, which has been verified. Keys are the files of hosts from it,
	// or from another backup of the same cluster, by their paths.
	Content *backup.Content
	Keys    map[string]KeyFile
	// Rehearse: the hosts are those of a lab, with other names and addresses.
	Rehearse bool
}

// KeyFile is a file of a control plane.
type KeyFile struct {
	Content []byte
	Mode    fs.FileMode
}

// Keys returns the files of hosts in a backup, by their paths.
func Keys(c *backup.Content) map[string]KeyFile {
	files := map[string]KeyFile{}
	for _, f := range c.Manifest.Files {
		if at := f.HostPath(); at != "" {
			files[at] = KeyFile{c.Files[f.Name], f.Mode.Perm()}
		}
	}
	return files
}

// id identifies the backup in the mark of a restore.
func (s Source) id() string { return s.Content.Manifest.Etcd.SHA256 + "\n" }

// caHash identifies the cluster of the keys.
func (s Source) caHash() string {
	k := facts.Kubernetes{Certificates: []facts.Certificate{{Path: caFile, PEM: s.Keys[caFile].Content}}}
	return k.CAHash()
}

const caFile = "/etc/kubernetes/pki/ca.crt"

// RestoreState makes a run begin without a cluster: what an interrupted restore has left is
// no cluster yet, what the API server says of it is that of the lost one, and workers wait
// for the one that is restored. RestoreCheck refuses hosts that have another one.
func RestoreState(observe workflow.Phase) workflow.Phase {
	observe.Do = func(_ context.Context, s *workflow.Step) error {
		s.Hosts().SetState(&cluster.State{})
		return nil
	}
	return observe
}

// RestoreCheck refuses hosts that have a cluster, and a backup that does not fit them.
func RestoreCheck(from Source) workflow.Phase {
	return workflow.Phase{
		Name:  "restore-check",
		Title: "check that the backup can be restored",
		Why: "A restore onto hosts that still have a cluster would destroy it, and a backup with other address ranges or of another " +
			"version gives a cluster that does not work.",
		Manual:   []string{"slipway backup verify BACKUP", "slipway status"},
		On:       workflow.Localhost,
		NeedsAll: []string{"cluster"},
		ReadOnly: true,
		Do: func(_ context.Context, s *workflow.Step) error {
			return errors.Join(fits(s, from), complete(s, from), vacant(s, from))
		},
	}
}

// fits compares the backup with the inventory.
func fits(s *workflow.Step, from Source) error {
	m, c := from.Content.Manifest, s.Cluster()
	if c.ExternalEtcd() {
		return workflow.WithHint(errors.New("slipway restores clusters whose etcd runs on the control planes"),
			"restore etcd on its hosts by hand: see docs/backup.md")
	}
	if m.Cluster != c.Metadata.Name && !from.Rehearse {
		return workflow.WithHint(fmt.Errorf("the backup is of the cluster %q, and the inventory has %q", m.Cluster, c.Metadata.Name),
			"pass the inventory of that cluster with -i; or, to restore its data onto a lab, pass --rehearse")
	}
	if err := sameVersion(m.Kubernetes, s.Version()); err != nil {
		return workflow.WithHint(err, "set kubernetes.version: "+m.Kubernetes+" in the inventory; upgrade after the restore")
	}
	if m.Fixed == nil {
		return nil
	}
	// kubeadm init writes these again, and no old node is left.
	lab := []string{"metadata.name", "controlPlane.endpoint", "containerd.cgroupDriver"}
	var wrong []string
	for _, d := range m.Fixed.Differences(cluster.FixedOf(c)) {
		if from.Rehearse && slices.Contains(lab, d.Field) {
			continue
		}
		wrong = append(wrong, fmt.Sprintf("%s: %s", d.Field, d.Have))
	}
	if len(wrong) > 0 {
		return workflow.WithHint(errors.New("the data of the backup depends on fields that differ in the inventory"), "set "+strings.Join(wrong, ", "))
	}
	return nil
}

// sameVersion returns an error unless both versions have the same minor version, and the
// second one is not older.
func sameVersion(have, want string) error {
	var a, b [3]int
	if _, err := fmt.Sscanf(have, "v%d.%d.%d", &a[0], &a[1], &a[2]); err != nil {
		return fmt.Errorf("the version of the backup, %q, is unknown", have)
	}
	if _, err := fmt.Sscanf(want, "v%d.%d.%d", &b[0], &b[1], &b[2]); err != nil {
		return err
	}
	if a[0] != b[0] || a[1] != b[1] || b[2] < a[2] {
		return fmt.Errorf("the backup is of Kubernetes %s, and the inventory would install %s", have, want)
	}
	return nil
}

// complete checks that there are all keys of the cluster.
func complete(s *workflow.Step, from Source) error {
	var missing []string
	for _, f := range kubeadm.SharedFiles(s.Cluster()) {
		if len(from.Keys[f.Path].Content) == 0 && !absent(s.Cluster(), f.Path) {
			missing = append(missing, path.Base(f.Path))
		}
	}
	switch m := from.Content.Manifest; {
	case len(missing) > 0:
		return workflow.WithHint(fmt.Errorf("the backup has no keys of the cluster (%s)", strings.Join(missing, ", ")),
			"pass a backup of the same cluster that has them with --keys-from: see `slipway backup list`")
	case m.CAHash != "" && m.CAHash != from.caHash():
		return workflow.WithHint(errors.New("the keys are those of another cluster: the hash of the CA differs"), "pass another backup with --keys-from")
	}
	return nil
}

// vacant checks that no host has a cluster, except for workers that wait for this one.
func vacant(s *workflow.Step, from Source) error {
	var errs []error
	refuse := func(h *workflow.Host, hint, format string, args ...any) {
		errs = append(errs, workflow.WithHint(fmt.Errorf(h.Config.Name+" "+format, args...), hint))
	}
	for _, h := range s.Hosts().WithLeaving().All {
		f, name := h.Facts(), h.Config.Name
		if f == nil || f.Exists(facts.RestoreMark) || !f.Joined() && !f.Exists(facts.EtcdMember) {
			continue
		}
		switch hash := f.Kubernetes.CAHash(); {
		case hash != from.caHash():
			refuse(h, "remove it from that cluster first: slipway reset --yes --hosts "+name, "belongs to another cluster")
		case f.Exists(facts.CAKey) || f.Exists(facts.EtcdMember):
			refuse(h, "if the cluster works, there is nothing to restore: slipway apply; to go back to the backup, and lose what has changed since: slipway reset --yes --hosts "+name+", and the same for each other control plane, then rerun the restore",
				"still has the cluster of the backup")
		case f.Kubernetes.NodeName() != "" && f.Kubernetes.NodeName() != name:
			refuse(h, "set name: "+f.Kubernetes.NodeName()+" in the inventory", "is the node %s of the cluster, and a node cannot be renamed", f.Kubernetes.NodeName())
		case h.Config.Has(config.RoleControlPlane):
			refuse(h, "remove the role control-plane from this host; or let it join again: slipway reset --yes --hosts "+name, "is a worker of the cluster, and a control plane in the inventory")
		}
	}
	return errors.Join(errs...)
}

// RestoreData places the keys and the data of the cluster on the first control plane.
func RestoreData(from Source) workflow.Phase {
	return workflow.Phase{
		Name:  "restore-data",
		Title: "restore the keys and the data of etcd",
		Why: "kubeadm init keeps the CAs, the keys of service accounts and the data that it finds: the API server starts with the " +
			"objects of the backup, and the tokens of workloads stay valid.",
		Manual: []string{
			"tar x -C / etc/kubernetes/pki    # of the backup",
			"etcdutl snapshot restore snapshot.db --data-dir /var/lib/etcd --name HOST --initial-cluster HOST=https://ADDRESS:2380 --initial-advertise-peer-urls https://ADDRESS:2380 --bump-revision 1000000000 --mark-compacted    # in a container of etcd's image",
		},
		On:      workflow.Seed,
		Needs:   []string{"images", "kubelet"},
		Creates: []string{"/etc/kubernetes/", "/var/lib/etcd/"},
		Do: func(ctx context.Context, s *workflow.Step) error {
			mark := host.File{Path: string(facts.RestoreMark), Content: []byte(from.id()), Mode: 0o600}
			if err := sameRestore(ctx, s, from); err != nil {
				return err
			}
			// The mark comes first: apply refuses a host that has it.
			if _, err := host.EnsureFiles(ctx, s, host.File{Path: path.Dir(mark.Path), Mode: fs.ModeDir | 0o700}, mark); err != nil {
				return err
			}
			var files []host.File
			for at, f := range from.Keys {
				files = append(files, host.File{Path: at, Content: f.Content, Mode: f.Mode, Secret: true})
			}
			slices.SortFunc(files, func(a, b host.File) int { return strings.Compare(a.Path, b.Path) })
			if _, err := host.EnsureFiles(ctx, s, files...); err != nil {
				return err
			}
			return snapshot.Restore(ctx, s, from.Content.Snapshot, snapshotOf(from.Content))
		},
	}
}

// snapshotOf is the snapshot as the manifest has it.
func snapshotOf(c *backup.Content) snapshot.Snapshot {
	taken := c.Manifest.Etcd
	for _, f := range c.Manifest.Files {
		if f.Name == backup.SnapshotName {
			taken.Size, taken.SHA256 = f.Size, f.SHA256
		}
	}
	return taken
}

// sameRestore returns an error if the restore of another backup was interrupted on the host.
func sameRestore(ctx context.Context, s *workflow.Step, from Source) error {
	before, err := s.ReadFile(ctx, string(facts.RestoreMark))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || string(before) == from.id() {
		return err
	}
	return workflow.WithHint(errors.New("the restore of another backup was interrupted on this host"),
		"finish it with that backup; or discard it: slipway reset --yes --hosts "+s.Target.Config.Name)
}
