package preflight

import (
	"context"
	"fmt"
	"strings"

	goversion "github.com/hashicorp/go-version"

	"slipway.io/slipway/provision/report/check"
)

// vagrantNeed is the first version of Vagrant that works in a case, or the first after
// Broken that works again.
type vagrantNeed struct {
	vagrant string
	// broken is the first version that fails; empty for all before vagrant.
	broken   string
	severity check.Severity
	applies  func(*localContext, versions) bool
	// evidence follows the version of Vagrant.
	evidence string
}

// versions are those of Vagrant and VirtualBox; nil for one that is unknown.
type versions struct{ vagrant, virtualBox *goversion.Version }

// vagrantNeeds are from Vagrant's CHANGELOG and issues: GH-11250 (VirtualBox 6.1),
// GH-12947 (7.0), GH-13513 (7.1), GH-13709 (7.2), GH-12983 (host-only networks of
// VirtualBox 7 on macOS), GH-13655 (read_host_only_networks), GH-13239 (architectures
// of boxes). For Red Hat's distributions, oracle/vagrant-projects#528 shows 2.4.1 fail
// with a box of release 9.4.
func vagrantNeeds() []vagrantNeed {
	virtualBox := func(first string) func(*localContext, versions) bool {
		return func(cc *localContext, v versions) bool { return cc.virtualBox() && !older(v.virtualBox, first) }
	}
	redHat := func(cc *localContext, _ versions) bool { return cc.redHatBox() }
	return []vagrantNeed{
		{vagrant: "2.4.9", applies: virtualBox("7.2"), evidence: "does not support VirtualBox %s"},
		{vagrant: "2.4.2", applies: virtualBox("7.1"), evidence: "does not support VirtualBox %s"},
		{vagrant: "2.3.2", applies: virtualBox("7.0"), evidence: "does not support VirtualBox %s"},
		{vagrant: "2.2.7", applies: virtualBox("6.1"), evidence: "does not support VirtualBox %s"},
		{vagrant: "2.3.3", applies: func(cc *localContext, v versions) bool {
			return cc.facts.OS == "darwin" && virtualBox("7.0")(cc, v)
		}, evidence: "cannot create networks of VirtualBox %s on macOS"},
		{vagrant: "2.4.6", broken: "2.4.5", applies: virtualBox("0"), evidence: "cannot create private networks of VirtualBox %s (undefined method read_host_only_networks)"},
		{vagrant: "2.4.0", applies: func(cc *localContext, _ versions) bool { return cc.facts.Arch == "arm64" }, evidence: "does not know architectures of boxes, and this computer needs arm64"},
		{vagrant: "2.4.4", applies: redHat, evidence: "cannot configure the network of recent Rocky Linux and AlmaLinux"},
		{vagrant: "2.4.8", severity: check.Warning, applies: redHat, evidence: "may configure the wrong one of several network interfaces"},
	}
}

// firstVirtualBoxARM is the first VirtualBox that runs bento's boxes for arm64
// (README.md of chef/bento).
const firstVirtualBoxARM = "7.1.6"

// older reports whether a version is known, and before another.
func older(v *goversion.Version, than string) bool {
	return v != nil && v.LessThan(goversion.Must(goversion.NewVersion(than)))
}

func (cc *localContext) versions() versions {
	parse := func(program string) *goversion.Version {
		v, err := goversion.NewVersion(cc.facts.Programs[program])
		if err != nil {
			return nil // it is not installed, or prints no version
		}
		return v
	}
	return versions{vagrant: parse("vagrant"), virtualBox: parse("virtualbox")}
}

// redHatBox reports whether the box has one of Red Hat's distributions.
func (cc *localContext) redHatBox() bool {
	for _, name := range []string{"rocky", "alma", "rhel", "centos", "oracle", "fedora"} {
		if strings.Contains(cc.spec.Box, name) {
			return true
		}
	}
	return false
}

func providerVersions(_ context.Context, cc *localContext) []check.Finding {
	v := cc.versions()
	if !cc.vagrant() || v.vagrant == nil {
		return nil
	}
	var found []check.Finding
	if cc.virtualBox() && cc.facts.Arch == "arm64" && older(v.virtualBox, firstVirtualBoxARM) {
		found = append(found, check.Finding{
			Evidence: fmt.Sprintf("VirtualBox %s runs no machines for arm64", v.virtualBox),
			Fix:      "install VirtualBox " + firstVirtualBoxARM + " or later",
		})
	}
	var needed *goversion.Version
	first := len(found)
	for _, n := range vagrantNeeds() {
		if cc.virtualBox() && v.virtualBox == nil && strings.Contains(n.evidence, "%s") || !n.applies(cc, v) {
			continue
		}
		if !older(v.vagrant, n.vagrant) || n.broken != "" && older(v.vagrant, n.broken) {
			continue
		}
		evidence := n.evidence
		if strings.Contains(evidence, "%s") {
			evidence = fmt.Sprintf(evidence, v.virtualBox)
			if needed != nil {
				continue // one reason of VirtualBox's is enough
			}
		}
		found = append(found, check.Finding{Severity: n.severity, Evidence: fmt.Sprintf("Vagrant %s %s", v.vagrant, evidence)})
		if good := goversion.Must(goversion.NewVersion(n.vagrant)); needed == nil || good.GreaterThan(needed) {
			needed = good
		}
	}
	for i := range found[first:] {
		found[first+i].Fix = fmt.Sprintf("install Vagrant %s or later%s", needed, cc.upgradeVagrant())
	}
	return found
}

// upgradeVagrant is the command that installs the newest Vagrant.
func (cc *localContext) upgradeVagrant() string {
	switch cc.facts.OS {
	case "darwin":
		return ": brew upgrade hashicorp/tap/hashicorp-vagrant"
	case "windows":
		return ": winget upgrade Hashicorp.Vagrant"
	}
	return " from HashiCorp: https://developer.hashicorp.com/vagrant/install"
}
