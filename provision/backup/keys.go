package backup

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"filippo.io/age"
)

// Recipients parses public keys of age, such as "age1…".
func Recipients(keys ...string) ([]age.Recipient, error) {
	var all []age.Recipient
	for _, key := range keys {
		parsed, err := age.ParseRecipients(strings.NewReader(key))
		if err != nil {
			return nil, fmt.Errorf("%q is not a public key of age (age1…): %w", key, err)
		}
		all = append(all, parsed...)
	}
	return all, nil
}

// RecipientsFile reads a file with public keys of age, one a line.
func RecipientsFile(path string) ([]age.Recipient, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	all, err := age.ParseRecipients(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

// Passphrase returns the recipient that encrypts with a passphrase.
func Passphrase(passphrase string) ([]age.Recipient, error) {
	if passphrase == "" {
		return nil, errors.New("the passphrase is empty")
	}
	r, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, err
	}
	return []age.Recipient{r}, nil
}

// PassphraseIdentity returns the identity that decrypts with a passphrase.
func PassphraseIdentity(passphrase string) ([]age.Identity, error) {
	if passphrase == "" {
		return nil, errors.New("the passphrase is empty")
	}
	i, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, err
	}
	return []age.Identity{i}, nil
}

// IdentityFile reads a file with secret keys of age, one a line.
func IdentityFile(path string) ([]age.Identity, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	all, err := age.ParseIdentities(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}
