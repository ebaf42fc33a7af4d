package hostprep

import (
	"context"
	"path"
	"strings"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/distro"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

// firewallDir is where a host keeps the scripts that close its firewall again, and what
// they close.
const firewallDir = "/var/lib/slipway/firewall"

// Firewall opens the active firewall of a host for the cluster.
func Firewall() workflow.Phase {
	return workflow.Phase{
		Name:  "firewall",
		Title: "open the firewall for the cluster",
		Why: "firewalld and ufw reject what nobody allowed: hosts do not join, pods have no DNS. Ports alone are not enough, " +
			"since the host forwards what pods send. The rules hold at once and after a reboot. No firewall is started, " +
			"reloaded or closed for it, and rules that exist stay.",
		Manual: []string{
			"firewall-cmd --zone=trusted --add-source=POD_SUBNET    # each with and without --permanent",
			"firewall-cmd --add-rich-rule='rule family=\"ipv4\" source address=\"NODE_IP\" port port=\"PORT\" protocol=\"tcp\" accept'",
			"ufw allow from POD_SUBNET; ufw route allow from POD_SUBNET; ufw route allow to POD_SUBNET",
			"ufw allow from NODE_IP to any port PORT proto tcp",
		},
		On:    workflow.ObservedHosts,
		Needs: []string{"finish-reset"},
		// The addresses of all hosts are facts.
		NeedsAll: []string{"facts"},
		Do: func(ctx context.Context, s *workflow.Step) error {
			// A host that leaves lets new ones in until it has left.
			left := !s.Target.Config.Stays() && !s.Facts().Exists(facts.Journal)
			if left || !s.Cluster().ManagesFirewall(s.Target.Config) {
				return nil
			}
			for _, firewall := range distro.ActiveFirewalls(s.Facts()) {
				if err := openFirewall(ctx, s, firewall); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// openFirewall asks the host for the rules that differ, and changes them.
func openFirewall(ctx context.Context, s *workflow.Step, firewall distro.Firewall) error {
	addr, err := s.Target.NodeIP()
	if err != nil {
		return err
	}
	content := templates.Script(firewall.Script)
	script := path.Join(firewallDir, firewall.Name+".sh")
	state := path.Join(firewallDir, firewall.Name)
	args := append([]string{state, s.Facts().Interface(addr), addr.String()}, firewallRules(s)...)

	check := host.Script(path.Base(firewall.Script), content, append([]string{"check"}, args...)...)
	res, err := s.Query(ctx, check)
	if err != nil {
		return err
	}
	changes := strings.Split(strings.TrimSpace(string(res.Stdout)), "\n")
	if changes[0] == "" {
		return nil
	}
	// Reset runs the script when slipway may be a different version.
	if _, err := host.EnsureFiles(ctx, s, host.File{Path: script, Content: content, Mode: 0o755}); err != nil {
		return err
	}
	_, err = s.Run(ctx, host.Cmd{
		Name: firewall.Name + ": " + strings.Join(changes, "; "),
		Argv: append([]string{"sh", script, "apply"}, args...),
		Undo: []string{"sh", script, "remove", state},
		Sudo: true,
	})
	return workflow.WithHint(err, "open the firewall yourself, and set `firewall: leave` for the host in the inventory; slipway preflight lists the ports")
}
