// Package backup saves the data of a cluster, and restores it.
package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/backup"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/cluster/snapshot"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow"
)

// saved is where a snapshot is on its host until it has been copied to localhost.
const saved = snapshot.Dir + "/backup.db"

// Options of Create.
type Options struct {
	// Dir is the directory of localhost in which backups are kept.
	Dir string
	// Recipients encrypt the backup; without any, it has no private keys.
	Recipients []age.Recipient
	// Now is the time of the backup.
	Now time.Time
}

// Result is a backup that Create has written.
type Result struct {
	Path     string          `json:"path"`
	Size     int64           `json:"size"`
	Manifest backup.Manifest `json:"manifest"`
	// Notes say what a restore must know.
	Notes []string `json:"notes,omitempty"`
}

// Create saves the data of the cluster to localhost. It passes the result to done.
func Create(o Options, done func(Result) error) workflow.Phase {
	return workflow.Phase{
		Name:  "backup",
		Title: "back up the cluster to localhost",
		Why: "Without its data in etcd, the keys of its CAs and those of service accounts, a cluster cannot be restored. Private " +
			"keys leave a host only if the backup is encrypted.",
		Manual: []string{
			"etcdctl --endpoints https://127.0.0.1:2379 --cacert /etc/kubernetes/pki/etcd/ca.crt --cert /etc/kubernetes/pki/etcd/healthcheck-client.crt --key /etc/kubernetes/pki/etcd/healthcheck-client.key snapshot save snapshot.db    # in a container of etcd's image",
			"etcdutl snapshot status snapshot.db",
			"tar c -C / etc/kubernetes/pki/ca.{crt,key} etc/kubernetes/pki/sa.{pub,key} etc/kubernetes/pki/front-proxy-ca.{crt,key} etc/kubernetes/pki/etcd/ca.{crt,key} | age -r RECIPIENT > pki.tar.age",
		},
		On:       workflow.Localhost,
		NeedsAll: []string{"cluster"},
		Do: func(ctx context.Context, s *workflow.Step) error {
			result, err := create(ctx, s, o)
			if err != nil {
				return err
			}
			return done(result)
		},
	}
}

func create(ctx context.Context, s *workflow.Step, o Options) (result Result, err error) {
	from, err := member(ctx, s)
	if err != nil {
		return result, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return result, err
	}
	temp, err := os.MkdirTemp(o.Dir, ".incomplete-*")
	if err != nil {
		return result, err
	}
	defer os.RemoveAll(temp)
	taken, err := snapshot.TakeOn(ctx, s, from, saved)
	if err != nil {
		return result, err
	}
	local := filepath.Join(temp, "snapshot.db")
	if err := fetch(ctx, s, from, taken, local); err != nil {
		return result, err
	}
	taken.Path = ""
	state := s.Hosts().State()
	result.Manifest = backup.Manifest{
		Cluster: s.Cluster().Metadata.Name, Created: o.Now.UTC().Truncate(time.Second), Kubernetes: s.Hosts().State().Version, Host: from.Config.Name,
		Etcd: taken, PKI: len(o.Recipients) > 0,
	}
	sources := []backup.Source{{File: backup.File{Name: backup.SnapshotName, SHA256: taken.SHA256, Mode: 0o600}, Path: local}}
	if state.Answers() {
		fixed := state.Fixed
		result.Manifest.Fixed = &fixed
		if state.Record != nil {
			record, err := yaml.Marshal(state.Record)
			if err != nil {
				return result, err
			}
			sources = append(sources, backup.Source{File: backup.File{Name: backup.RecordName, Mode: 0o600}, Content: record})
		}
	}
	keys, hash, notes, err := keysOf(ctx, s, len(o.Recipients) > 0)
	if err != nil {
		return result, err
	}
	result.Manifest.CAHash, result.Notes = hash, notes
	result.Path, result.Manifest, err = backup.Write(ctx, o.Dir, result.Manifest, o.Recipients, append(sources, keys...)...)
	if err != nil {
		return result, err
	}
	if result.Size, err = verify(ctx, result.Path); err != nil {
		return result, err
	}
	s.Changed("write %s", result.Path)
	return result, nil
}

// verify reads the archive again, as it is on disk.
func verify(ctx context.Context, path string) (size int64, err error) {
	if _, _, err := backup.Verify(ctx, path, nil); err != nil {
		return 0, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// member returns a host with a healthy member of etcd.
func member(ctx context.Context, s *workflow.Step) (*workflow.Host, error) {
	if endpoints := s.Cluster().Etcd.External.Endpoints; len(endpoints) > 0 {
		return nil, workflow.WithHint(errors.New("slipway does not run the etcd of this cluster, and does not back it up"),
			"back up etcd where it runs: etcdctl snapshot save")
	}
	var members []*workflow.Host
	for _, h := range s.Hosts().WithLeaving().All {
		if h.Facts() != nil && h.Unreachable() == nil && h.Facts().Kubernetes.StaticPods["etcd"] != "" {
			members = append(members, h)
		}
	}
	if len(members) == 0 {
		return nil, workflow.WithHint(errors.New("no host that can be reached runs etcd"), "see the hosts: slipway status")
	}
	etcd, err := workflow.ReadEtcd(ctx, members)
	if err != nil {
		return nil, workflow.WithHint(err, "repair etcd first; a snapshot that a timer has saved is in "+s.Cluster().Backup.Directory+" of each host that runs etcd")
	}
	if len(etcd.Healthy) == 0 {
		return nil, workflow.WithHint(errors.New("no member of etcd is healthy: a snapshot might lack changes"),
			"see `slipway status`; a member without a majority has its data in /var/lib/etcd/member/snap/db")
	}
	return etcd.Healthy[0], nil
}

// fetch copies a snapshot to localhost, and deletes it on its host.
func fetch(ctx context.Context, s *workflow.Step, from *workflow.Host, taken snapshot.Snapshot, to string) error {
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = host.Download(ctx, s.On(from), taken.Path, taken.Size, out, func(done int64) {
		s.Waiting(fmt.Sprintf("copied %d of %d MiB", done>>20, taken.Size>>20))
	})
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	return host.Remove(ctx, s.On(from), taken.Path)
}

// keysOf returns the files that cannot be created again, and the hash of the CA. Without
// encryption, private keys stay on the hosts.
func keysOf(ctx context.Context, s *workflow.Step, encrypted bool) (sources []backup.Source, hash string, notes []string, err error) {
	seed := s.Hosts().Seed()
	if seed == nil || seed.Facts() == nil || seed.Unreachable() != nil {
		return nil, "", nil, workflow.WithHint(errors.New("the control plane that has the keys of the cluster cannot be reached"), "see the hosts: slipway status")
	}
	hash = seed.Facts().Kubernetes.CAHash()
	if !encrypted {
		return nil, hash, []string{
			"the backup is not encrypted, and contains no private keys of the cluster. A restore from it needs the keys from another " +
				"backup (slipway restore --keys-from); without them, all kubeconfigs and the tokens of all workloads would be lost. Pass --recipient or --passphrase",
			"the backup contains the Secrets of the cluster. Only you can read the file; keep it so",
		}, nil
	}
	files := map[*workflow.Host][]host.File{seed: kubeadm.SharedFiles(s.Cluster())}
	if etcd := s.Hosts().EtcdSeed(); etcd != nil {
		files[etcd] = append(files[etcd], kubeadm.EtcdAuthority()...)
	}
	provider, err := encryptionConfig(ctx, s.On(seed))
	if err != nil {
		return nil, "", nil, err
	}
	if provider != "" {
		files[seed] = append(files[seed], host.File{Path: provider, Mode: 0o600})
	}
	for from, list := range files {
		for _, f := range list {
			content, err := s.On(from).ReadFile(ctx, f.Path)
			if errors.Is(err, fs.ErrNotExist) && absent(s.Cluster(), f.Path) {
				notes = append(notes, fmt.Sprintf("%s has no %s, so the backup has none", from.Config.Name, f.Path))
				continue
			}
			if err != nil {
				return nil, "", nil, err
			}
			sources = append(sources, backup.Source{File: backup.File{Name: backup.HostName(f.Path), Mode: f.Mode.Perm()}, Content: content})
		}
	}
	slices.SortFunc(sources, func(a, b backup.Source) int { return strings.Compare(a.Name, b.Name) })
	return sources, hash, notes, nil
}

// absent reports whether a host may lack a key: somebody else keeps that of the CA.
func absent(c *config.Cluster, path string) bool {
	return kubeadm.Skips(c, "certs/ca") && filepath.Ext(path) == ".key"
}
