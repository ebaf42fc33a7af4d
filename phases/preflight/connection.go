package preflight

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report/check"
)

// connectionChecks are about reaching a machine at all: without that, nothing
// else can be looked at there.
func connectionChecks() []Check {
	return []Check{
		{
			Description: check.Description{
				Name: "ssh-connect", Title: "the machine answers SSH", Kind: check.Host, Severity: check.Error,
				Looks: "A connection to the address and port of each host, through its bastions.",
				Why:   "Everything that slipway does on a machine goes over SSH.",
				Manual: []string{
					"ssh -p PORT USER@ADDRESS true",
					"systemctl enable --now ssh    # sshd on RHEL-like systems; on the machine's console",
				},
			},
			connection: true,
			run: failures(func(err error) (check.Finding, bool) {
				return check.Finding{Fix: "check address, ssh.port and ssh.bastion in the inventory, and that sshd answers there"},
					errors.Is(err, host.ErrUnreachable)
			}),
		},
		{
			Description: check.Description{
				Name: "ssh-auth", Title: "the machine accepts the user and a key", Kind: check.Host, Severity: check.Error,
				Looks:  "Public-key authentication as the inventory's user, with the agent's keys and the identity files.",
				Why:    "A refused key does not get better by trying again.",
				Manual: []string{"ssh -v USER@ADDRESS true", "ssh-copy-id -i IDENTITY_FILE USER@ADDRESS"},
			},
			connection: true,
			run: failures(func(err error) (check.Finding, bool) {
				return check.Finding{Fix: "set ssh.user and ssh.identityFile in the inventory, or bring the key there: ssh-copy-id"},
					errors.Is(err, host.ErrAuth)
			}),
		},
		{
			Description: check.Description{
				Name: "ssh-hostkey", Title: "the machine's host key is the known one", Kind: check.Host, Severity: check.Error,
				Looks: "The key that the machine offers, and what known_hosts has for its address.",
				Why:   "An unknown or changed key may be somebody between you and the machine. A changed one is never accepted.",
				Manual: []string{
					"ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub    # on the machine's console: compare the fingerprint",
					"slipway preflight --accept-new-host-keys            # records unknown keys",
					"ssh-keygen -R ADDRESS                               # forgets the key of a machine that was made anew",
				},
			},
			connection: true,
			run:        failures(hostKey),
		},
		{
			Description: check.Description{
				Name: "ssh-hostkey-type", Title: "the machine offers a key of the type that is known", Kind: check.Host, Severity: check.Error,
				Looks: "The types of the keys in known_hosts, and the type that the machine offers.",
				Why:   "A machine that no longer offers the recorded type looks like a changed one, though it may be the same.",
				Manual: []string{
					"ssh-keygen -F ADDRESS                # the types that are known",
					"ssh-keyscan ADDRESS                  # the keys that it offers: compare with its console",
				},
			},
			connection: true,
			run:        failures(hostKeyType),
		},
		{
			Description: check.Description{
				Name: "sudo-password", Title: "the user may become root", Kind: check.Host, Severity: check.Error,
				Looks:  "Whether sudo runs a command, without a password or with the one that was given.",
				Why:    "Services, kernel settings and system folders are root's.",
				Manual: []string{"sudo -n true", "echo 'USER ALL=(ALL) NOPASSWD: ALL' | sudo tee /etc/sudoers.d/USER"},
			},
			connection: true,
			run: failures(func(err error) (check.Finding, bool) {
				return check.Finding{Fix: "give the password with --ask-sudo-password, or the user sudo rights without one"},
					errors.Is(err, host.ErrSudo)
			}),
		},
		{
			Description: check.Description{
				Name: "ssh-output", Title: "commands run and their output arrives", Kind: check.Host, Severity: check.Error,
				Looks:  "The output of the one script that reads what the machine looks like.",
				Why:    "Accounts without a shell and profiles that print break everything that follows.",
				Manual: []string{"ssh USER@ADDRESS 'sudo sh -c \"uname -m\"'    # prints one word"},
			},
			connection: true,
			run: failures(func(err error) (check.Finding, bool) {
				return check.Finding{Fix: "log in by hand and run: sudo sh -c 'uname -m'; it has to print one word"}, !known(err)
			}),
		},
		{
			Description: check.Description{
				Name: "ssh-sessions", Title: "sshd allows several sessions at once", Kind: check.Host, Severity: check.Info,
				Looks:  "MaxSessions of the running configuration of sshd.",
				Why:    "slipway opens several sessions on one connection. It works with one, slower.",
				Manual: []string{"sshd -T | grep -i maxsessions", "echo 'MaxSessions 10' > /etc/ssh/sshd_config.d/sessions.conf && systemctl reload ssh"},
			},
			run: eachHost(sshSessions),
		},
	}
}

// failures makes a check of what kept machines from being looked at.
func failures(about func(error) (check.Finding, bool)) func(*checkContext) []check.Finding {
	return func(cc *checkContext) []check.Finding {
		var all []check.Finding
		for _, name := range cc.hosts.Names() {
			err := cc.failed[name]
			if err == nil {
				continue
			}
			if f, mine := about(err); mine {
				f.Host = name
				if f.Evidence == "" {
					f.Evidence = strings.TrimPrefix(err.Error(), name+": ")
				}
				all = append(all, f)
			}
		}
		return all
	}
}

// known says whether an error is of a kind that has a check of its own.
func known(err error) bool {
	var key *host.HostKeyError
	return errors.As(err, &key) || errors.Is(err, host.ErrUnreachable) || errors.Is(err, host.ErrAuth) || errors.Is(err, host.ErrSudo)
}

func hostKey(err error) (check.Finding, bool) {
	var key *host.HostKeyError
	if !errors.As(err, &key) || otherType(key) {
		return check.Finding{}, false
	}
	if key.Changed {
		return check.Finding{Fix: "only if the machine was really made anew: ssh-keygen -R " + withoutPort(key.Address)}, true
	}
	return check.Finding{
		Fix: "compare the fingerprint with the machine's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then --accept-new-host-keys",
	}, true
}

func hostKeyType(err error) (check.Finding, bool) {
	var key *host.HostKeyError
	if !errors.As(err, &key) || !otherType(key) {
		return check.Finding{}, false
	}
	return check.Finding{
		Evidence: fmt.Sprintf("the machine offers %s %s, but %s has only %s for it",
			key.KeyType, key.Fingerprint, names(key.Known), names(key.KnownTypes)),
		Fix: "compare the fingerprint on the machine's console; if it is the same machine: ssh-keygen -R " + withoutPort(key.Address) + ", then --accept-new-host-keys",
	}, true
}

// otherType: no key of the type that the machine offers is known.
func otherType(key *host.HostKeyError) bool {
	return key.Changed && len(key.KnownTypes) > 0 && !slices.Contains(key.KnownTypes, key.KeyType)
}

// withoutPort is the address without its port, as ssh-keygen -R wants it.
func withoutPort(address string) string {
	if i := strings.LastIndex(address, ":"); i > 0 && strings.HasSuffix(address, ":22") {
		return address[:i]
	}
	return "'" + address + "'"
}

// fewSessions is the number below which uploads and steps wait for each other.
const fewSessions = 4

func sshSessions(_ config.Host, f *facts.Facts) []check.Finding {
	if f.MaxSessions == 0 || f.MaxSessions >= fewSessions {
		return nil
	}
	return []check.Finding{{
		Evidence: fmt.Sprintf("MaxSessions is %d: steps wait for each other", f.MaxSessions),
		Fix:      "echo 'MaxSessions 10' > /etc/ssh/sshd_config.d/sessions.conf && systemctl reload ssh",
	}}
}
