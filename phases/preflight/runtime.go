package preflight

import (
	"fmt"
	"slices"
	"strings"

	goversion "github.com/hashicorp/go-version"
	"github.com/pelletier/go-toml/v2"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report/check"
)

// runtimeChecks are about an existing containerd. On a host without a journal
// slipway replaces it; on a host with one, a wrong setting is drift.
func runtimeChecks() []Check {
	return []Check{
		{
			Description: check.Description{
				Name: "cri-disabled", Title: "containerd's CRI plugin is enabled", Kind: check.Host, Severity: check.Warning,
				Examines: "disabled_plugins in the effective configuration of containerd.",
				Why:      "Docker's package disables CRI. kubelet then fails with \"unknown service runtime.v1.RuntimeService\".",
				Manual:   []string{"containerd config dump | grep disabled_plugins", "containerd config default > /etc/containerd/config.toml && systemctl restart containerd"},
			},
			run: eachHost(criDisabled),
		},
		{
			Description: check.Description{
				Name: "cri-v1-missing", Title: "containerd supports CRI v1", Kind: check.Host, Severity: check.Warning,
				Examines: "The version of the containerd on the PATH.",
				Why:      "kubelet 1.26 and later requires CRI v1, which containerd before 1.6 lacks.",
				Manual:   []string{"containerd --version", "ctr --namespace k8s.io version"},
			},
			run: eachHost(criV1Missing),
		},
		{
			Description: check.Description{
				Name: "cgroup-driver", Title: "containerd and kubelet use the same cgroup driver", Kind: check.Host, Severity: check.Warning,
				Examines: "SystemdCgroup in the effective configuration of containerd, and containerd.cgroupDriver in the inventory.",
				Why:      "With different drivers, init succeeds, but pods restart forever.",
				Manual:   []string{"containerd config dump | grep SystemdCgroup; grep cgroupDriver /var/lib/kubelet/config.yaml"},
			},
			run: cgroupDriver,
		},
		{
			Description: check.Description{
				Name: "containerd-config-version", Title: "containerd supports its configuration version", Kind: check.Host, Severity: check.Warning,
				Examines: "The version in /etc/containerd/config.toml, and the version of containerd.",
				Why:      "containerd 1 silently ignores the plugin names of version 3.",
				Manual:   []string{"grep ^version /etc/containerd/config.toml; containerd --version", "containerd config migrate"},
			},
			run: eachHost(containerdFile),
		},
		{
			Description: check.Description{
				Name: "pause-image", Title: "the pause image is that of the bundle", Kind: check.Host, Severity: check.Warning,
				Examines: "The sandbox image in the effective configuration of containerd.",
				Why:      "A host without a registry cannot pull another pause image, and no pod starts.",
				Manual:   []string{"containerd config dump | grep -E 'sandbox_image|sandbox ='; kubeadm config images list"},
			},
			run: eachHost(pauseImage),
		},
		{
			Description: check.Description{
				Name: "cri-sockets", Title: "no other container runtime is installed", Kind: check.Host, Severity: check.Warning,
				Examines: "The sockets of containerd, CRI-O and cri-dockerd.",
				Why:      "With two runtimes, kubeadm must be given the socket to use. slipway passes it.",
				Manual:   []string{"ls /run/containerd/containerd.sock /run/crio/crio.sock /run/cri-dockerd.sock", "systemctl disable --now crio"},
			},
			run: eachHost(criSockets),
		},
	}
}

// settings parses the effective configuration of containerd; nil without one.
func settings(f *facts.Facts) map[string]any {
	if f.Software.ContainerdConfig == "" {
		return nil
	}
	var all map[string]any
	if toml.Unmarshal([]byte(f.Software.ContainerdConfig), &all) != nil {
		return nil
	}
	return all
}

// setting is the value at the first of the paths that exists.
func setting(all map[string]any, paths ...[]string) any {
	for _, path := range paths {
		var value any = all
		for _, key := range path {
			table, _ := value.(map[string]any)
			value = table[key]
		}
		if value != nil {
			return value
		}
	}
	return nil
}

// The tables of the CRI plugin in configurations of version 3 and 2.
const (
	runtimeV3 = "io.containerd.cri.v1.runtime"
	imagesV3  = "io.containerd.cri.v1.images"
	criV2     = "io.containerd.grpc.v1.cri"
)

// drift returns a finding about containerd. On a host with a journal it is a
// warning: an error would prevent apply from repairing the host. On other hosts
// slipway replaces containerd.
func drift(f *facts.Facts, evidence string) []check.Finding {
	if hasJournal(f) {
		return []check.Finding{{Evidence: evidence, Fix: "slipway apply"}}
	}
	return []check.Finding{{Severity: check.Info, Evidence: evidence, Fix: "nothing: slipway installs its own containerd and its configuration"}}
}

// unreadable reports that slipway's containerd does not print its settings.
// slipway replaces any other containerd anyway.
func unreadable(f *facts.Facts) []check.Finding {
	if !hasJournal(f) || f.Software.Containerd == "" || settings(f) != nil {
		return nil
	}
	return []check.Finding{{
		Severity: check.Unknown, Evidence: "containerd " + f.Software.Containerd + " does not print its configuration",
		Fix: "containerd config dump    # shows why; slipway apply rewrites the file",
	}}
}

func criDisabled(_ config.Host, f *facts.Facts) []check.Finding {
	disabled, _ := setting(settings(f), []string{"disabled_plugins"}).([]any)
	for _, plugin := range disabled {
		if name, _ := plugin.(string); name == "cri" || strings.HasPrefix(name, "io.containerd.cri.v1") || name == criV2 {
			return drift(f, "disabled_plugins has "+name)
		}
	}
	return unreadable(f)
}

func criV1Missing(_ config.Host, f *facts.Facts) []check.Finding {
	if major, minor, ok := containerdVersion(f); ok && (major < 1 || major == 1 && minor < 6) {
		return drift(f, "containerd "+f.Software.Containerd+" has no CRI v1")
	}
	return nil
}

func containerdVersion(f *facts.Facts) (major, minor int, ok bool) {
	plain, _, _ := strings.Cut(f.Software.Containerd, "~")
	v, err := goversion.NewVersion(plain)
	if err != nil {
		return 0, 0, false
	}
	return v.Segments()[0], v.Segments()[1], true
}

func cgroupDriver(cc *checkContext) []check.Finding {
	systemd := cc.cluster.Containerd.CgroupDriver == config.CgroupDriverSystemd
	return eachHost(func(_ config.Host, f *facts.Facts) []check.Finding {
		options := []string{"containerd", "runtimes", "runc", "options", "SystemdCgroup"}
		has, known := setting(settings(f),
			append([]string{"plugins", runtimeV3}, options...), append([]string{"plugins", criV2}, options...)).(bool)
		if !known || has == systemd {
			return unreadable(f)
		}
		return drift(f, fmt.Sprintf("SystemdCgroup is %t, kubelet's cgroupDriver %s", has, cc.cluster.Containerd.CgroupDriver))
	})(cc)
}

func containerdFile(_ config.Host, f *facts.Facts) []check.Finding {
	major, _, ok := containerdVersion(f)
	if !ok || major >= 2 || f.Software.ContainerdFileVersion != "3" {
		return nil
	}
	return drift(f, fmt.Sprintf("/etc/containerd/config.toml has version 3, which containerd %s does not support", f.Software.Containerd))
}

// pauseImage: slipway sets the pause image of the Kubernetes release.
func pauseImage(_ config.Host, f *facts.Facts) []check.Finding {
	image, _ := setting(settings(f),
		[]string{"plugins", imagesV3, "pinned_images", "sandbox"}, []string{"plugins", criV2, "sandbox_image"}).(string)
	if image == "" || strings.HasPrefix(image, "registry.k8s.io/pause:") {
		return unreadable(f)
	}
	return drift(f, "the sandbox image is "+image)
}

func criSockets(_ config.Host, f *facts.Facts) []check.Finding {
	var found []check.Finding
	for _, socket := range f.CRISockets {
		if socket == "/run/containerd/containerd.sock" && f.Exists(facts.Journal) {
			continue
		}
		unit := "containerd"
		if i := slices.Index([]string{"/run/crio/crio.sock", "/run/cri-dockerd.sock"}, socket); i >= 0 {
			unit = []string{"crio", "cri-docker"}[i]
		}
		found = append(found, check.Finding{
			Evidence: socket + " exists: the host runs another container runtime",
			Fix:      "if nothing needs it: systemctl disable --now " + unit + "; slipway installs its own containerd, and passes its socket explicitly",
		})
	}
	return found
}
