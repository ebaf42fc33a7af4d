package preflight

import (
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report/check"
)

// networkManagerChecks are about the program that configures the interfaces of RHEL-like
// systems and of Raspberry Pi OS.
func networkManagerChecks() []Check {
	return []Check{
		{
			Description: check.Description{
				Name: "network-manager", Title: "NetworkManager leaves the interfaces of pods alone", Kind: check.Host, Severity: check.Info,
				Examines: "Whether NetworkManager is active, and /etc/NetworkManager/conf.d/slipway.conf.",
				Why:      "NetworkManager changes routes of the interfaces that it manages, and pods lose their network.",
				Manual: []string{
					"nmcli device status    # interfaces of pods are unmanaged",
					"printf '[keyfile]\\nunmanaged-devices+=interface-name:cali*;interface-name:flannel*;interface-name:cni*\\n' > /etc/NetworkManager/conf.d/k8s.conf && systemctl reload NetworkManager",
				},
			},
			run: eachHost(networkManager),
		},
		{
			Description: check.Description{
				Name: "nm-cloud-setup", Title: "nm-cloud-setup is off", Kind: check.Host, Severity: check.Warning,
				Examines: "Whether the timer of nm-cloud-setup is active, as on cloud images of RHEL-like systems.",
				Why:      "It adds rules and routes for the addresses of the cloud, and removes those of the pod network: pods lose their network after minutes.",
				Manual:   []string{"systemctl is-active nm-cloud-setup.timer", disableCloudSetup},
			},
			run: eachHost(cloudSetup),
		},
	}
}

func networkManager(_ config.Host, f *facts.Facts) []check.Finding {
	if !f.Active("NetworkManager.service") || f.Exists(facts.NetworkManagerConf) {
		return nil
	}
	return []check.Finding{{
		Evidence: "NetworkManager is active, and manages each new interface",
		Fix:      "nothing: slipway excludes the interfaces of pods in " + string(facts.NetworkManagerConf),
	}}
}

const disableCloudSetup = "systemctl disable --now nm-cloud-setup.service nm-cloud-setup.timer && reboot"

func cloudSetup(_ config.Host, f *facts.Facts) []check.Finding {
	if !f.Active("nm-cloud-setup.timer") {
		return nil
	}
	return []check.Finding{{Evidence: "nm-cloud-setup is active, and removes routes of the pod network", Fix: disableCloudSetup}}
}
