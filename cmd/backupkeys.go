package cmd

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"slipway.io/slipway/provision/backup"
	"slipway.io/slipway/provision/config"
)

// passphraseVariable sets the passphrase without a prompt.
const passphraseVariable = "SLIPWAY_BACKUP_PASSPHRASE"

// passphraseFlags are the flags of commands that encrypt or decrypt.
func passphraseFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Bool("passphrase", false, "Prompt for a passphrase. "+passphraseVariable+" sets it without a prompt.")
	flags.String("passphrase-file", "", "Path to a file with the passphrase.")
}

// identityFlags are the flags of commands that decrypt.
func identityFlags(cmd *cobra.Command) {
	cmd.Flags().String("identity", "", "Path to a file with secret keys of age, as age-keygen writes it.")
	passphraseFlags(cmd)
}

// recipients returns to whom a backup is encrypted: what the flags say, or else the
// inventory. None: it is not encrypted.
func (a *app) recipients(c *config.Cluster) ([]age.Recipient, error) {
	keys, file := a.list("recipient"), a.settings.GetString("recipients-file")
	passphrase, err := a.passphrase(true)
	if err != nil {
		return nil, err
	}
	if passphrase != "" {
		if len(keys) > 0 || file != "" {
			return nil, &usageError{errors.New("a backup is encrypted with a passphrase or to recipients, not both")}
		}
		return backup.Passphrase(passphrase)
	}
	if len(keys) == 0 && file == "" {
		keys = c.Backup.Recipients
	}
	all, err := backup.Recipients(keys...)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--recipient: %w", err)}
	}
	if file != "" {
		more, err := backup.RecipientsFile(file)
		if err != nil {
			return nil, &usageError{fmt.Errorf("--recipients-file: %w", err)}
		}
		all = append(all, more...)
	}
	return all, nil
}

// identities returns what decrypts a backup; none without a flag.
func (a *app) identities() ([]age.Identity, error) {
	var all []age.Identity
	if file := a.settings.GetString("identity"); file != "" {
		var err error
		if all, err = backup.IdentityFile(file); err != nil {
			return nil, &usageError{fmt.Errorf("--identity: %w", err)}
		}
	}
	passphrase, err := a.passphrase(false)
	if err != nil || passphrase == "" {
		return all, err
	}
	more, err := backup.PassphraseIdentity(passphrase)
	return append(all, more...), err
}

// passphrase returns the passphrase of a backup; empty without a flag. A new one is asked
// for twice.
func (a *app) passphrase(isNew bool) (string, error) {
	if path := a.settings.GetString("passphrase-file"); path != "" {
		content, err := os.ReadFile(path)
		if err != nil {
			return "", &usageError{fmt.Errorf("--passphrase-file: %w", err)}
		}
		passphrase := strings.TrimRight(string(content), "\r\n")
		if passphrase == "" {
			return "", &usageError{fmt.Errorf("--passphrase-file: %s is empty", path)}
		}
		return passphrase, nil
	}
	if passphrase := os.Getenv(passphraseVariable); passphrase != "" {
		return passphrase, nil
	}
	if !a.settings.GetBool("passphrase") {
		return "", nil
	}
	terminal, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		return "", &usageError{errors.New("--passphrase: standard input is not a terminal; use --passphrase-file")}
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprint(a.err, prompt)
		text, err := term.ReadPassword(int(terminal.Fd()))
		fmt.Fprintln(a.err)
		return string(text), err
	}
	passphrase, err := ask("passphrase of the backup: ")
	switch {
	case err != nil:
		return "", err
	case passphrase == "":
		return "", &usageError{errors.New("the passphrase is empty")}
	case !isNew:
		return passphrase, nil
	}
	again, err := ask("again: ")
	if err == nil && again != passphrase {
		err = &usageError{errors.New("the passphrases differ")}
	}
	return passphrase, err
}
