package main

import (
	"path"
	"slices"
	"strings"
)

// component is what is built from one module under modules/.
type component struct {
	// name is the folder under modules/.
	name string
	// module is the path of the module whose version is the component's.
	module string
	// packages are the import paths of the commands; a command is called like the last element of its path,
	// major versions left out.
	packages []string
	tags     []string
	// ldflags say what is set at link time; version has its v.
	ldflags func(version string) []string
	// cgo components are linked statically against the C library.
	cgo bool
	// addon is the one of the catalogue that the component is for; empty if every cluster needs it.
	addon string
}

// kubernetesDate stands for the time of the build, so that the same source gives the same bytes.
const kubernetesDate = "1970-01-01T00:00:00Z"

// components lists what a bundle is built from. The first is what the others share most with.
func components() []component {
	return []component{
		{
			name:   "kubernetes",
			module: "k8s.io/kubernetes",
			packages: append(under("k8s.io/kubernetes/cmd/", "kubeadm", "kubelet", "kubectl", "kube-apiserver",
				"kube-controller-manager", "kube-scheduler", "kube-proxy"), "k8s.io/kubernetes/test/images/agnhost"),
			// What hack/lib/golang.sh of Kubernetes sets for a release, without notest: it leaves out three methods
			// for fuzzing, by which all of client-go would be compiled once more for Kubernetes alone.
			tags:    []string{"selinux", "grpcnotrace"},
			ldflags: kubernetesFlags,
		},
		{
			name:   "coredns",
			module: "github.com/coredns/coredns", packages: []string{"github.com/coredns/coredns"},
		},
		{
			name:     "flannel",
			module:   "github.com/flannel-io/flannel",
			packages: []string{"github.com/flannel-io/flannel"},
			tags:     []string{"netgo", "osusergo"},
			ldflags:  setVersion("github.com/flannel-io/flannel/pkg/version.Version"),
			cgo:      true, // its UDP backend is C
			addon:    "flannel",
		},
		{
			name:   "containerd",
			module: "github.com/containerd/containerd/v2",
			packages: under("github.com/containerd/containerd/v2/cmd/",
				"containerd", "containerd-shim-runc-v2", "ctr"),
			// The snapshotters left out need C libraries or file systems that no cluster of slipway's has.
			tags: []string{
				"netgo", "osusergo", "static_build", "urfave_cli_no_docs",
				"no_btrfs", "no_devmapper", "no_zfs",
			},
			ldflags: setVersion("github.com/containerd/containerd/v2/version.Version"),
		},
		{
			name:   "etcd",
			module: "go.etcd.io/etcd/server/v3",
			// The server's module has no command: modules/etcd is one of three lines.
			packages: []string{modulesPath + "etcd", "go.etcd.io/etcd/etcdctl/v3", "go.etcd.io/etcd/etcdutl/v3"},
		},
		{
			name:   "runc",
			module: "github.com/opencontainers/runc", packages: []string{"github.com/opencontainers/runc"},
			tags: []string{"seccomp", "urfave_cli_no_docs", "netgo", "osusergo"},
			cgo:  true,
		},
		{
			name:   "cni-plugins",
			module: "github.com/containernetworking/plugins",
			packages: append(append(
				under("github.com/containernetworking/plugins/plugins/main/",
					"bridge", "dummy", "host-device", "ipvlan", "loopback", "macvlan", "ptp", "tap", "vlan"),
				under("github.com/containernetworking/plugins/plugins/ipam/", "dhcp", "host-local", "static")...),
				under("github.com/containernetworking/plugins/plugins/meta/",
					"bandwidth", "firewall", "portmap", "sbr", "tuning", "vrf")...),
			ldflags: setVersion("github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion"),
		},
		{
			name:     "flannel-cni-plugin",
			module:   "github.com/containernetworking/plugins",
			packages: []string{"github.com/containernetworking/plugins/plugins/meta/flannel"},
			ldflags:  setVersion("github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion"),
			addon:    "flannel",
		},
		{
			name:     "traefik",
			module:   "github.com/traefik/traefik/v3",
			packages: []string{"github.com/traefik/traefik/v3/cmd/traefik"},
			ldflags:  setVersion("github.com/traefik/traefik/v3/pkg/version.Version"),
			addon:    "traefik",
		},
		{
			name:     "metallb",
			module:   "go.universe.tf/metallb",
			packages: under("go.universe.tf/metallb/", "controller", "speaker"),
			addon:    "metallb",
		},
		{
			name:     "metrics-server",
			module:   "sigs.k8s.io/metrics-server",
			packages: []string{"sigs.k8s.io/metrics-server/cmd/metrics-server"},
			ldflags:  setVersion("k8s.io/client-go/pkg/version.gitVersion"),
			addon:    "metrics-server",
		},
		{
			name:     "local-path-provisioner",
			module:   "github.com/rancher/local-path-provisioner",
			packages: []string{"github.com/rancher/local-path-provisioner"},
			ldflags:  setVersion("main.VERSION"),
			addon:    "local-path",
		},
	}
}

// selected are the components of clusters with these addons.
func selected(addons []string) []component {
	return slices.DeleteFunc(components(), func(c component) bool {
		return c.addon != "" && !slices.Contains(addons, c.addon)
	})
}

// buildable are the addons that something is built for.
func buildable() []string {
	var names []string
	for _, c := range components() {
		if c.addon != "" && !slices.Contains(names, c.addon) {
			names = append(names, c.addon)
		}
	}
	return names
}

// modulesPath begins the import path of every module under modules/.
const modulesPath = "slipway.io/slipway/e2e/source/modules/"

func under(prefix string, names ...string) []string {
	paths := make([]string, 0, len(names))
	for _, name := range names {
		paths = append(paths, prefix+name)
	}
	return paths
}

func setVersion(variable string) func(string) []string {
	return func(version string) []string { return []string{"-X", variable + "=" + version} }
}

// kubernetesFlags set what hack/lib/version.sh of Kubernetes sets.
func kubernetesFlags(version string) []string {
	major, rest, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	var flags []string
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for _, set := range []string{
			"gitVersion=" + version, "gitMajor=" + major, "gitMinor=" + minor,
			"gitTreeState=clean", "buildDate=" + kubernetesDate,
		} {
			flags = append(flags, "-X", pkg+"."+set)
		}
	}
	return flags
}

// arguments are those of "go build", without the output folder. They are part of the component's key.
func (c component) arguments(version string) []string {
	link := []string{"-s", "-w"}
	if c.ldflags != nil {
		link = append(link, c.ldflags(version)...)
	}
	if c.cgo {
		link = append(link, "-linkmode", "external", "-extldflags", "-static")
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-mod=readonly"}
	if len(c.tags) > 0 {
		args = append(args, "-tags", strings.Join(c.tags, ","))
	}
	return append(append(args, "-ldflags", strings.Join(link, " ")), c.packages...)
}

// environment is what a build sees beside the caller's environment. It is part of the component's key.
func (c component) environment(arch string) []string {
	cgo := "CGO_ENABLED=0"
	if c.cgo {
		cgo = "CGO_ENABLED=1"
	}
	return []string{
		cgo, "GOOS=linux", "GOARCH=" + arch, "GOFLAGS=-mod=readonly", "GOWORK=off", "GOTOOLCHAIN=local",
		"GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0", "CGO_CFLAGS=-O2", "CGO_LDFLAGS=",
	}
}

// commandName is what "go build" calls the command of an import path: its last element that is no major version.
func commandName(pkg string) string {
	name := path.Base(pkg)
	if strings.HasPrefix(name, "v") && strings.Trim(name[1:], "0123456789") == "" {
		name = path.Base(path.Dir(pkg))
	}
	return name
}
