package cmd

import (
	"errors"
	"fmt"
	"os"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"slipway.io/slipway/phases"
	phase "slipway.io/slipway/phases/backup"
	"slipway.io/slipway/provision/backup"
	"slipway.io/slipway/provision/workflow"
)

func newRestore(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore BACKUP",
		Short: "Restore a cluster whose control plane is lost",
		Long: `Restore a cluster from a backup onto new machines of the same inventory: the keys and the
data are placed on the first control plane, and the other hosts join it. Objects are those
of the time of the backup, and the tokens of workloads stay valid. Workers that still run
stay. Data on lost machines, such as local volumes, is not in a backup.

The backup is verified before slipway connects to a host. Hosts that still have the data of
a cluster are refused. Rerun the command to resume an interrupted restore.

With --rehearse, the hosts are those of a lab, with other names and addresses. The workloads
start there with all their permissions: keep the lab apart from what they may change.`,
		Example: `  slipway restore lab-20260731T100000Z.slipway.tar --identity ~/keys/backup.txt --yes
  slipway restore /var/backups/slipway/lab-20260731T033000Z.slipway.tar --keys-from lab-20260701T100000Z.slipway.tar --identity key.txt --yes
  slipway restore lab-20260731T100000Z.slipway.tar -i rehearsal.yaml --rehearse --passphrase --yes`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, clean, err := a.restoreSource(cmd, args[0])
			defer clean()
			if err != nil {
				return err
			}
			cluster, path, err := a.inventory()
			if err != nil {
				return err
			}
			if m := from.Content.Manifest; !a.settings.GetBool("yes") {
				return &usageError{workflow.WithHint(
					fmt.Errorf("restore creates cluster %q on all hosts of %s (%d) with the data of cluster %q of %s (Kubernetes %s, revision %d, %d keys of etcd)",
						cluster.Metadata.Name, path, len(cluster.Hosts), m.Cluster, m.Created.Local().Format(time.DateTime), m.Kubernetes, m.Etcd.Revision, m.Etcd.Keys),
					"the backup is whole; rerun with --yes to confirm")}
			}
			s, err := a.open()
			if err != nil {
				return err
			}
			defer s.close()
			return a.runOn(cmd.Context(), s, phases.Restore(*from), workflow.Selection{}, false)
		},
	}
	connectionFlags(cmd)
	catalogueFlag(cmd)
	lockFlags(cmd)
	backupDirFlag(cmd)
	identityFlags(cmd)
	flags := cmd.Flags()
	flags.BoolP("yes", "y", false, "Confirm the restore.")
	flags.Bool("rehearse", false, "Restore the data of a cluster onto a lab.")
	flags.String("keys-from", "", "Another backup of the cluster, which has its keys.")
	flags.Int("parallel", 20, "Maximum number of steps that run in parallel on all hosts.")
	flags.Duration("timeout", 5*time.Minute, "Time to wait for nodes, and for each addon, to become ready.")
	return cmd
}

// restoreSource verifies the backup, and reads it. clean deletes what it has written to the
// disk of this computer.
func (a *app) restoreSource(cmd *cobra.Command, name string) (from *phase.Source, clean func(), err error) {
	clean = func() {}
	identities, err := a.identities()
	if err != nil {
		return nil, clean, err
	}
	paths, err := a.backupPaths([]string{name})
	if err != nil {
		return nil, clean, err
	}
	dir, err := os.MkdirTemp("", "slipway-restore-*")
	if err != nil {
		return nil, clean, err
	}
	clean = func() { _ = os.RemoveAll(dir) }
	content, err := openBackup(cmd, paths[0], dir, identities)
	if err != nil {
		return nil, clean, err
	}
	from = &phase.Source{Content: content, Keys: phase.Keys(content), Rehearse: a.settings.GetBool("rehearse")}
	other := a.settings.GetString("keys-from")
	if other == "" {
		return from, clean, nil
	}
	if paths, err = a.backupPaths([]string{other}); err != nil {
		return nil, clean, err
	}
	if err := os.Mkdir(dir+"/keys", 0o700); err != nil {
		return nil, clean, err
	}
	keys, err := openBackup(cmd, paths[0], dir+"/keys", identities)
	if err != nil {
		return nil, clean, err
	}
	from.Keys = phase.Keys(keys)
	return from, clean, nil
}

func openBackup(cmd *cobra.Command, path, dir string, identities []age.Identity) (*backup.Content, error) {
	content, err := backup.Open(cmd.Context(), path, dir, identities)
	if errors.Is(err, backup.ErrNoIdentity) {
		return nil, &usageError{workflow.WithHint(fmt.Errorf("%s: %w", path, err), "pass --identity FILE, --passphrase or --passphrase-file FILE")}
	}
	return content, err
}
