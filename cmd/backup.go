package cmd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"slipway.io/slipway/phases"
	phase "slipway.io/slipway/phases/backup"
	"slipway.io/slipway/provision/backup"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/workflow"
)

func newBackup(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "backup",
		Short: "Back up a cluster, and verify, list and delete backups",
		Long: `Back up a cluster to this computer, and verify, list and delete backups. A backup is one
file: a snapshot of etcd, slipway's record, and, if it is encrypted, the keys that cannot
be created again. "slipway restore" restores a cluster from it.`,
		Example: "  slipway backup create --recipient age1...\n  slipway backup list",
	}, newBackupCreate(a), newBackupList(a), newBackupVerify(a), newBackupPrune(a))
}

// backupDirFlag is the flag of commands that look for backups.
func backupDirFlag(cmd *cobra.Command) {
	cmd.Flags().String("dir", "", "Directory with the backups. (default ~/.local/share/slipway/backups)")
}

// backupDir is the directory in which backups are kept.
func (a *app) backupDir() (string, error) {
	if dir := a.settings.GetString("dir"); dir != "" {
		return filepath.Abs(dir)
	}
	data := os.Getenv("XDG_DATA_HOME")
	switch {
	case data != "":
	case runtime.GOOS == "linux":
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		data = filepath.Join(home, ".local", "share")
	default:
		var err error
		if data, err = os.UserConfigDir(); err != nil {
			return "", err
		}
	}
	return filepath.Join(data, "slipway", "backups"), nil
}

func newBackupCreate(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Back up the cluster to this computer",
		Long: `Save a snapshot of etcd on a healthy member, verify it, and write it to one file on this
computer, with slipway's record. The cluster is not interrupted.

Encrypt the backup with --recipient, --recipients-file or --passphrase, or with
backup.recipients of the inventory. Only then does it contain the keys that cannot be
created again: those of the CAs and of service accounts, and those with which the API
server encrypts objects. Without encryption, private keys do not leave the hosts.`,
		Example: `  slipway backup create --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
  slipway backup create --passphrase --dir /mnt/backups
  slipway backup create -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := a.backupDir()
			if err != nil {
				return err
			}
			s, err := a.open()
			if err != nil {
				return err
			}
			defer s.close()
			recipients, err := a.recipients(s.cluster)
			if err != nil {
				return err
			}
			options := phase.Options{Dir: dir, Recipients: recipients, Now: time.Now()}
			return a.query(cmd.Context(), s, phases.Backup(options, a.showBackup))
		},
	}
	connectionFlags(cmd)
	backupDirFlag(cmd)
	flags := cmd.Flags()
	flags.StringSlice("recipient", nil, "Public keys of age to encrypt to. (default backup.recipients of the inventory)")
	flags.String("recipients-file", "", "Path to a file with public keys of age, one a line.")
	passphraseFlags(cmd)
	return cmd
}

func (a *app) showBackup(r phase.Result) error {
	if a.json() {
		return a.printJSON(r)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(a.err, "note: %s\n", note)
	}
	m := r.Manifest
	fmt.Fprintf(a.err, "cluster %s, Kubernetes %s, revision %d, %d keys of etcd, %s, from %s\n", m.Cluster, m.Kubernetes, m.Etcd.Revision, m.Etcd.Keys, megabytes(r.Size), m.Host)
	fmt.Fprintln(a.out, r.Path)
	return nil
}

func newBackupList(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the backups on this computer",
		Long: `List the backups in a directory of this computer, the newest first. The list does not
verify them: see "slipway backup verify".`,
		Example: "  slipway backup list\n  slipway backup list --cluster workshop -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			all, err := a.backups()
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(append([]backup.Kept{}, all...))
			}
			var rows []report.Row
			for _, kept := range all {
				rows = append(rows, backupRow(kept))
			}
			return report.Table(a.out, []string{"CLUSTER", "CREATED", "KUBERNETES", "REVISION", "SIZE", "KEYS", "FILE"}, rows)
		},
	}
	backupDirFlag(cmd)
	cmd.Flags().String("cluster", "", "Name of a cluster. (default all clusters)")
	return cmd
}

func (a *app) backups() ([]backup.Kept, error) {
	dir, err := a.backupDir()
	if err != nil {
		return nil, err
	}
	return backup.List(dir, a.settings.GetString("cluster"))
}

func backupRow(kept backup.Kept) report.Row {
	m := kept.Manifest
	if kept.Problem != "" {
		return report.Row{Status: report.StatusFailed, Cells: []string{"", "", "", "", megabytes(kept.Size), "damaged", kept.Path}}
	}
	return report.Row{Status: report.StatusOK, Cells: []string{
		m.Cluster, m.Created.Local().Format("2006-01-02 15:04:05"), m.Kubernetes, fmt.Sprint(m.Etcd.Revision), megabytes(kept.Size), keysIn(m), kept.Path,
	}}
}

// keysIn says whether a backup has the keys of the cluster.
func keysIn(m backup.Manifest) string {
	switch {
	case m.PKI:
		return "encrypted"
	case m.Encryption == backup.Age:
		return "none, encrypted"
	}
	return "none"
}

func newBackupVerify(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify [BACKUP...]",
		Short: "Verify every byte of backups",
		Long: `Verify every byte of backups: of those that are named, or of all in the directory. With
--identity or the passphrase, the content of an encrypted backup is verified too, and that
you can decrypt it. No host is contacted. The exit code is 8 if a backup is damaged.`,
		Example: `  slipway backup verify
  slipway backup verify ./lab-20260731T100000Z.slipway.tar --identity ~/keys/backup.txt`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			identities, err := a.identities()
			if err != nil {
				return err
			}
			paths, err := a.backupPaths(args)
			if err != nil {
				return err
			}
			var results []verified
			var errs []error
			for _, path := range paths {
				m, whole, err := backup.Verify(cmd.Context(), path, identities)
				result := verified{Path: path, OK: err == nil, Decrypted: whole, Cluster: m.Cluster}
				if err != nil {
					result.Problem = err.Error()
					errs = append(errs, err)
				}
				results = append(results, result)
			}
			if err := a.showVerified(results); err != nil {
				return err
			}
			return errors.Join(errs...)
		},
	}
	backupDirFlag(cmd)
	identityFlags(cmd)
	return cmd
}

// verified is the result of the verification of a backup.
type verified struct {
	Path    string `json:"path"`
	Cluster string `json:"cluster,omitempty"`
	OK      bool   `json:"ok"`
	// Decrypted: the content was verified too, and not only the archive.
	Decrypted bool   `json:"contentVerified"`
	Problem   string `json:"problem,omitempty"`
}

func (a *app) showVerified(results []verified) error {
	if a.json() {
		return a.printJSON(append([]verified{}, results...))
	}
	for _, r := range results {
		switch {
		case r.OK && r.Decrypted:
			fmt.Fprintf(a.out, "%s: verified\n", r.Path)
		case r.OK:
			fmt.Fprintf(a.out, "%s: verified; pass --identity or the passphrase to verify that it can be decrypted\n", r.Path)
		}
	}
	return nil
}

// backupPaths returns the paths of backups that are named, or of all. A name without a
// directory is also looked for in the directory of the backups.
func (a *app) backupPaths(names []string) ([]string, error) {
	if len(names) == 0 {
		all, err := a.backups()
		var paths []string
		for _, kept := range all {
			paths = append(paths, kept.Path)
		}
		return paths, err
	}
	dir, err := a.backupDir()
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, name := range names {
		path := name
		if _, err := os.Stat(name); errors.Is(err, os.ErrNotExist) && filepath.Base(name) == name {
			path = filepath.Join(dir, name)
		}
		if _, err := os.Stat(path); err != nil {
			return nil, &usageError{workflow.WithHint(err, "run `slipway backup list` to list the backups")}
		}
		paths = append(paths, path)
	}
	return paths, nil
}

func newBackupPrune(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Delete old backups on this computer",
		Long: `Delete the backups of each cluster but the newest ones. A damaged backup is not deleted,
and not counted, if its manifest cannot be read. No host is contacted.`,
		Example: "  slipway backup prune\n  slipway backup prune --keep 30 --cluster workshop\n  slipway backup prune --plan",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			keep, plan := a.settings.GetInt("keep"), a.settings.GetBool("plan")
			if keep < 1 {
				return &usageError{errors.New("--keep: at least one backup stays")}
			}
			all, err := a.backups()
			if err != nil {
				return err
			}
			deleted := []string{}
			for _, old := range backup.Old(all, keep) {
				if !plan {
					if err := os.Remove(old.Path); err != nil {
						return err
					}
				}
				deleted = append(deleted, old.Path)
				if !a.json() {
					fmt.Fprintf(a.out, "%s %s\n", map[bool]string{false: "deleted", true: "would delete"}[plan], old.Path)
				}
			}
			if a.json() {
				return a.printJSON(map[string][]string{"deleted": deleted})
			}
			fmt.Fprintf(a.err, "%d backups stay\n", len(all)-len(deleted))
			return nil
		},
	}
	backupDirFlag(cmd)
	flags := cmd.Flags()
	flags.Int("keep", config.DefaultRetention, "Number of backups of each cluster that stay.")
	flags.String("cluster", "", "Name of a cluster. (default all clusters)")
	flags.Bool("plan", false, "Print what would be deleted, and delete nothing.")
	return cmd
}
