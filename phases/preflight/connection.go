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

// connectionChecks are about the connection to a host. If one fails, no other check
// can run on the host.
func connectionChecks() []Check {
	return []Check{
		{
			Description: check.Description{
				Name: "ssh-connect", Title: "sshd accepts connections", Kind: check.Host, Severity: check.Error,
				Examines: "A connection to the address and port of each host, through its bastions.",
				Why:      "slipway does all its work on a host over SSH.",
				Manual: []string{
					"ssh -p PORT USER@ADDRESS true",
					"systemctl enable --now ssh    # sshd on RHEL-like systems; on the host's console",
				},
			},
			connection: true,
			run: failures(func(err error) (check.Finding, bool) {
				return check.Finding{Fix: "check address, ssh.port and ssh.bastion in the inventory, and that sshd is running on the host"},
					errors.Is(err, host.ErrUnreachable)
			}),
		},
		{
			Description: check.Description{
				Name: "ssh-auth", Title: "sshd accepts the user and the key", Kind: check.Host, Severity: check.Error,
				Examines: "Public-key authentication as the inventory's user, with the agent's keys and the identity files.",
				Why:      "A refused key is refused again on every retry.",
				Manual:   []string{"ssh -v USER@ADDRESS true", "ssh-copy-id -i IDENTITY_FILE USER@ADDRESS"},
			},
			connection: true,
			run: failures(func(err error) (check.Finding, bool) {
				return check.Finding{Fix: "set ssh.user and ssh.identityFile in the inventory, or add the key to authorized_keys on the host: ssh-copy-id"},
					errors.Is(err, host.ErrAuth)
			}),
		},
		{
			Description: check.Description{
				Name: "ssh-hostkey", Title: "the host key is known", Kind: check.Host, Severity: check.Error,
				Examines: "The key that the host offers, and the keys in known_hosts for its address.",
				Why:      "An unknown or changed key can be a man-in-the-middle attack. A changed key is never accepted.",
				Manual: []string{
					"ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub    # on the host's console: compare the fingerprint",
					"slipway preflight --accept-new-host-keys            # records unknown keys",
					"ssh-keygen -R ADDRESS                               # removes the key of a host that was reinstalled",
				},
			},
			connection: true,
			run:        failures(hostKey),
		},
		{
			Description: check.Description{
				Name: "ssh-hostkey-type", Title: "the host offers a key of a known type", Kind: check.Host, Severity: check.Error,
				Examines: "The types of the keys in known_hosts, and the type that the host offers.",
				Why:      "A host that no longer offers the recorded key type looks like another host, though it may be the same.",
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
				Name: "sudo-password", Title: "the user can run sudo", Kind: check.Host, Severity: check.Error,
				Examines: "Whether sudo runs a command, without a password or with the given one.",
				Why:      "Only root can change services, kernel settings and system directories.",
				Manual:   []string{"sudo -n true", "echo 'USER ALL=(ALL) NOPASSWD: ALL' | sudo tee /etc/sudoers.d/USER"},
			},
			connection: true,
			run: failures(func(err error) (check.Finding, bool) {
				return check.Finding{Fix: "pass --ask-sudo-password, or allow the user to run sudo without a password"},
					errors.Is(err, host.ErrSudo)
			}),
		},
		{
			Description: check.Description{
				Name: "ssh-output", Title: "commands run and return clean output", Kind: check.Host, Severity: check.Error,
				Examines: "The output of the script that reads the facts of the host.",
				Why:      "Accounts without a shell, and forced commands of sshd, break every later step. Banners do not matter.",
				Manual:   []string{"ssh USER@ADDRESS 'sudo sh -c \"uname -m\"'    # prints the architecture"},
			},
			connection: true,
			run: failures(func(err error) (check.Finding, bool) {
				f := check.Finding{Fix: "log in by hand and run: sudo sh -c 'uname -m'; it must print the architecture"}
				// Which command did not run says nothing.
				if _, reason, ok := strings.Cut(err.Error(), host.ErrNoShell.Error()); ok {
					f.Evidence = host.ErrNoShell.Error() + reason
				}
				return f, !connectionFailed(err)
			}),
		},
		{
			Description: check.Description{
				Name: "ssh-sessions", Title: "sshd allows several sessions at once", Kind: check.Host, Severity: check.Info,
				Examines: "MaxSessions of the running configuration of sshd.",
				Why:      "slipway opens several sessions on one connection. It works with one, slower.",
				Manual:   []string{"sshd -T | grep -i maxsessions", "echo 'MaxSessions 10' > /etc/ssh/sshd_config.d/sessions.conf && systemctl reload ssh"},
			},
			run: eachHost(sshSessions),
		},
	}
}

// failures creates a check of the errors of hosts whose facts could not be read.
func failures(about func(error) (check.Finding, bool)) func(*checkContext) []check.Finding {
	return func(cc *checkContext) []check.Finding {
		var all []check.Finding
		for _, h := range cc.hosts.All {
			err := h.Unreachable()
			if err == nil {
				continue
			}
			if f, mine := about(err); mine {
				f.Host = h.Config.Name
				if f.Evidence == "" {
					f.Evidence = strings.TrimPrefix(err.Error(), f.Host+": ")
				}
				all = append(all, f)
			}
		}
		return all
	}
}

// connectionFailed reports whether an error means that slipway cannot work on the
// host at all. Each kind has its own check.
func connectionFailed(err error) bool {
	var key *host.HostKeyError
	return errors.As(err, &key) || errors.Is(err, host.ErrUnreachable) || errors.Is(err, host.ErrAuth) || errors.Is(err, host.ErrSudo)
}

func hostKey(err error) (check.Finding, bool) {
	var key *host.HostKeyError
	if !errors.As(err, &key) || otherType(key) {
		return check.Finding{}, false
	}
	if key.Changed {
		return check.Finding{Fix: "only if the host was reinstalled: ssh-keygen -R " + withoutPort(key.Address)}, true
	}
	return check.Finding{
		Fix: "compare the fingerprint with that on the host (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then rerun with --accept-new-host-keys",
	}, true
}

func hostKeyType(err error) (check.Finding, bool) {
	var key *host.HostKeyError
	if !errors.As(err, &key) || !otherType(key) {
		return check.Finding{}, false
	}
	return check.Finding{
		Evidence: fmt.Sprintf("the host offers %s %s, but %s has only %s for it",
			key.KeyType, key.Fingerprint, names(key.Known), names(key.KnownTypes)),
		Fix: "compare the fingerprint on the host's console; if it is the same host: ssh-keygen -R " + withoutPort(key.Address) + ", then --accept-new-host-keys",
	}, true
}

// otherType: no key of the type that the host offers is known.
func otherType(key *host.HostKeyError) bool {
	return key.Changed && len(key.KnownTypes) > 0 && !slices.Contains(key.KnownTypes, key.KeyType)
}

// withoutPort is the address without its port, as ssh-keygen -R expects it.
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
