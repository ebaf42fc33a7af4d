package preflight

import (
	"fmt"
	"slices"
	"strings"

	goversion "github.com/hashicorp/go-version"
	"github.com/pelletier/go-toml/v2"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/journal"
	"slipway.io/slipway/provision/report/check"
)

// runtimeChecks are about a containerd that is there already. Before slipway
// has worked on a machine it is somebody else's, and is replaced; afterwards a
// wrong setting in it is drift.
func runtimeChecks() []Check {
	return []Check{
		{
			Description: check.Description{
				Name: "cri-disabled", Title: "containerd's CRI plugin is on", Kind: check.Host, Severity: check.Warning,
				Looks:  "disabled_plugins in the configuration that containerd has in effect.",
				Why:    "Docker's package turns CRI off; kubelet then gets \"unknown service runtime.v1.RuntimeService\".",
				Manual: []string{"containerd config dump | grep disabled_plugins", "containerd config default > /etc/containerd/config.toml && systemctl restart containerd"},
			},
			look: eachHost(criDisabled),
		},
		{
			Description: check.Description{
				Name: "cri-v1-missing", Title: "containerd speaks CRI v1", Kind: check.Host, Severity: check.Warning,
				Looks:  "The version of the containerd on the PATH.",
				Why:    "containerd before 1.6 has no CRI v1, and kubelet since 1.26 asks for nothing else.",
				Manual: []string{"containerd --version", "ctr --namespace k8s.io version"},
			},
			look: eachHost(criV1Missing),
		},
		{
			Description: check.Description{
				Name: "cgroup-driver", Title: "containerd and kubelet have one cgroup driver", Kind: check.Host, Severity: check.Warning,
				Looks:  "SystemdCgroup in containerd's configuration in effect, and containerd.cgroupDriver in the inventory.",
				Why:    "With two drivers init succeeds, and then pods are restarted for ever.",
				Manual: []string{"containerd config dump | grep SystemdCgroup; grep cgroupDriver /var/lib/kubelet/config.yaml"},
			},
			look: cgroupDriver,
		},
		{
			Description: check.Description{
				Name: "containerd-config-version", Title: "containerd's file is of a version that it reads", Kind: check.Host, Severity: check.Warning,
				Looks:  "The version that /etc/containerd/config.toml says it has, and the version of containerd.",
				Why:    "containerd 1 ignores what version 3 calls its plugins, without a word.",
				Manual: []string{"grep ^version /etc/containerd/config.toml; containerd --version", "containerd config migrate"},
			},
			look: eachHost(containerdFile),
		},
		{
			Description: check.Description{
				Name: "pause-image", Title: "the pause image is the bundle's", Kind: check.Host, Severity: check.Warning,
				Looks:  "The sandbox image in containerd's configuration in effect.",
				Why:    "A machine without a registry cannot pull another pause image, and no pod starts.",
				Manual: []string{"containerd config dump | grep -E 'sandbox_image|sandbox ='; kubeadm config images list"},
			},
			look: eachHost(pauseImage),
		},
		{
			Description: check.Description{
				Name: "cri-sockets", Title: "no other container runtime", Kind: check.Host, Severity: check.Warning,
				Looks:  "The sockets of containerd, CRI-O and cri-dockerd.",
				Why:    "kubeadm refuses to choose between two: it has to be told which one to use, and is.",
				Manual: []string{"ls /run/containerd/containerd.sock /run/crio/crio.sock /run/cri-dockerd.sock", "systemctl disable --now crio"},
			},
			look: eachHost(criSockets),
		},
	}
}

// settings reads containerd's configuration in effect; nil if there is none.
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

// setting is the value below the first of the paths that there is.
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

// drift is a finding about containerd: elsewhere something that slipway deals
// with, on a machine of slipway's of the severity of its check. Those are
// warnings: an error would keep apply from mending it, or from going on where
// one was killed.
func drift(f *facts.Facts, evidence string) []check.Finding {
	if ours(f) {
		return []check.Finding{{Evidence: evidence, Fix: "slipway apply"}}
	}
	return []check.Finding{{Severity: check.Info, Evidence: evidence, Fix: "nothing: slipway installs its own containerd, and owns the whole of its configuration"}}
}

// unreadable says that slipway's containerd does not tell its settings.
// Another's is replaced anyway.
func unreadable(f *facts.Facts) []check.Finding {
	if !ours(f) || f.Software.Containerd == "" || settings(f) != nil {
		return nil
	}
	return []check.Finding{{
		Severity: check.Unknown, Evidence: "containerd " + f.Software.Containerd + " does not tell its configuration",
		Fix: "containerd config dump    # says why; slipway apply writes its own file again",
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

func cgroupDriver(l *look) []check.Finding {
	systemd := l.cluster.Containerd.CgroupDriver == config.CgroupDriverSystemd
	return eachHost(func(_ config.Host, f *facts.Facts) []check.Finding {
		options := []string{"containerd", "runtimes", "runc", "options", "SystemdCgroup"}
		has, known := setting(settings(f),
			append([]string{"plugins", runtimeV3}, options...), append([]string{"plugins", criV2}, options...)).(bool)
		if !known || has == systemd {
			return unreadable(f)
		}
		return drift(f, fmt.Sprintf("SystemdCgroup is %t, kubelet's cgroupDriver %s", has, l.cluster.Containerd.CgroupDriver))
	})(l)
}

func containerdFile(_ config.Host, f *facts.Facts) []check.Finding {
	major, _, ok := containerdVersion(f)
	if !ok || major >= 2 || f.Software.ContainerdFileVersion != "3" {
		return nil
	}
	return drift(f, fmt.Sprintf("/etc/containerd/config.toml has version 3, which containerd %s does not know", f.Software.Containerd))
}

// pauseImage: the release that the inventory asks for has one.
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
		if socket == "/run/containerd/containerd.sock" && f.Exists(journal.Dir) {
			continue
		}
		unit := "containerd"
		if i := slices.Index([]string{"/run/crio/crio.sock", "/run/cri-dockerd.sock"}, socket); i >= 0 {
			unit = []string{"crio", "cri-docker"}[i]
		}
		found = append(found, check.Finding{
			Evidence: socket + " is there: another container runtime runs on the machine",
			Fix:      "if nothing needs it: systemctl disable --now " + unit + "; slipway installs its own containerd, and passes its socket explicitly",
		})
	}
	return found
}
