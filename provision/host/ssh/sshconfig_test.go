package ssh_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/ssh"
)

func TestOptionsFor(t *testing.T) {
	t.Parallel()
	defaults := []string{"/home/me/.ssh/id_ed25519", "/home/me/.ssh/id_ecdsa", "/home/me/.ssh/id_rsa"}
	for name, test := range map[string]struct {
		sshConfig string
		cluster   config.SSH
		host      config.SSH
		address   string
		want      ssh.Options
	}{
		"an address only": {
			want: ssh.Options{
				Name: "n1", Address: "a", Port: 22, User: "me",
				DefaultIdentities: defaults, KnownHostsFile: "/home/me/.ssh/known_hosts",
			},
		},
		"the host over the cluster over ssh_config": {
			sshConfig: "Host a\n User c\n Port 3\n IdentityFile /c\n UserKnownHostsFile /kc /kd\n",
			cluster:   config.SSH{User: "b", Port: 2, IdentityFile: "keys/b"},
			host:      config.SSH{User: "h"},
			want: ssh.Options{
				Name: "n1", Address: "a", Port: 2, User: "h", IdentityFile: "/inventory/keys/b",
				DefaultIdentities: []string{"/c"}, KnownHostsFile: "/kc", MoreKnownHosts: []string{"/kd"},
			},
		},
		"all from ssh_config": {
			sshConfig: "Host other\n User x\nHost a\n HostName %h.example\n User c\n Port 3\n IdentitiesOnly yes\n" +
				" IdentityFile ~/.ssh/%r\n IdentityFile %d/two\nHost *\n User late\n",
			want: ssh.Options{
				Name: "n1", Address: "a.example", Port: 3, User: "c", IdentitiesOnly: true,
				DefaultIdentities: []string{"/home/me/.ssh/c", "/home/me/two"}, KnownHostsFile: "/home/me/.ssh/known_hosts",
			},
		},
		"the ssh_config of Vagrant": {
			sshConfig: "Host a\n  HostName 127.0.0.1\n  User vagrant\n  Port 2222\n  UserKnownHostsFile /dev/null\n" +
				"  StrictHostKeyChecking no\n  PasswordAuthentication no\n  IdentityFile \"/v/with space/key\"\n  IdentitiesOnly yes\n",
			want: ssh.Options{
				Name: "n1", Address: "127.0.0.1", Port: 2222, User: "vagrant", IdentitiesOnly: true,
				DefaultIdentities: []string{"/v/with space/key"}, KnownHostsFile: "/dev/null",
			},
		},
		"Match blocks are ignored": {
			sshConfig: "Match exec \"true\"\n User matched\nHost a\n User host\nMatch all\n Port 99\n",
			want: ssh.Options{
				Name: "n1", Address: "a", Port: 99, User: "host",
				DefaultIdentities: defaults, KnownHostsFile: "/home/me/.ssh/known_hosts",
			},
		},
		"a bastion with its own section of ssh_config": {
			sshConfig: "Host jump\n HostName 192.0.2.1\n User j\n IdentityFile /j\n",
			host:      config.SSH{Bastion: "jump:2022", IdentityFile: "~/k", KnownHostsFile: "kh"},
			want: ssh.Options{
				Name: "n1", Address: "a", Port: 22, User: "me", IdentityFile: "/home/me/k", KnownHostsFile: "/inventory/kh",
				Bastion: &ssh.Options{
					Name: "bastion jump", Address: "192.0.2.1", Port: 2022, User: "j", IdentityFile: "/home/me/k",
					DefaultIdentities: []string{"/j"}, KnownHostsFile: "/inventory/kh",
				},
			},
		},
		"a chain of jump hosts": {
			sshConfig: "Host a\n ProxyJump u1@j1,[2001:db8::1]:23\n",
			want: ssh.Options{
				Name: "n1", Address: "a", Port: 22, User: "me", DefaultIdentities: defaults,
				KnownHostsFile: "/home/me/.ssh/known_hosts",
				Bastion: &ssh.Options{
					Name: "bastion 2001:db8::1", Address: "2001:db8::1", Port: 23, User: "me", DefaultIdentities: defaults,
					KnownHostsFile: "/home/me/.ssh/known_hosts",
					Bastion: &ssh.Options{
						Name: "bastion j1", Address: "j1", Port: 22, User: "u1", DefaultIdentities: defaults,
						KnownHostsFile: "/home/me/.ssh/known_hosts",
					},
				},
			},
		},
		"ProxyJump none": {
			sshConfig: "Host a\n ProxyJump none\n ProxyCommand x\n",
			want: ssh.Options{
				Name: "n1", Address: "a", Port: 22, User: "me",
				DefaultIdentities: defaults, KnownHostsFile: "/home/me/.ssh/known_hosts",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ssh.OptionsFor(&config.Cluster{SSH: test.cluster},
				config.Host{Name: "n1", Address: "a", SSH: test.host}, local(t, test.sshConfig))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func local(t *testing.T, sshConfig string) ssh.Local {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(sshConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	return ssh.Local{Home: "/home/me", User: "me", ConfigFile: file, InventoryDir: "/inventory"}
}

func TestOptionsForRefusesUnsupportedSettings(t *testing.T) {
	t.Parallel()
	for want, test := range map[string]struct {
		sshConfig string
		host      config.SSH
	}{
		"ProxyCommand":     {sshConfig: "Host a\n ProxyCommand nc %h %p\n"},
		"port":             {host: config.SSH{Bastion: "u@b:x"}},
		"want user@host":   {host: config.SSH{Bastion: "u@"}},
		"jump hosts":       {sshConfig: "Host *\n ProxyJump b\n"},
		"number from 1 to": {sshConfig: "Host a\n Port 70000\n"},
	} {
		_, err := ssh.OptionsFor(&config.Cluster{}, config.Host{Name: "n1", Address: "a", SSH: test.host}, local(t, test.sshConfig))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in the error, got %v", want, err)
		}
	}
}

func TestOptionsForWithoutAnSSHConfig(t *testing.T) {
	t.Parallel()
	l := local(t, "")
	l.ConfigFile = filepath.Join(t.TempDir(), "missing")
	if _, err := ssh.OptionsFor(&config.Cluster{}, config.Host{Name: "n1", Address: "a"}, l); err != nil {
		t.Error(err)
	}
}
