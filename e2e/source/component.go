package main

import (
	"slices"
	"strings"
)

// component is built from one module under modules/.
type component struct {
	// name of the directory under modules/.
	name string
	// module has the version of the component.
	module string
	// packages are the import paths of the commands. A command has the name of the last element that is not a major
	// version.
	packages []string
	tags     []string
	// ldflags returns the linker flags for a version, with its v.
	ldflags func(version string) []string
	// cgo components are linked statically against the C library.
	cgo bool
	// addon that needs the component; empty if every cluster needs it.
	addon string
	// modfile replaces the go.mod of the module for another version; empty for the one under modules/.
	modfile string
	// upstream components have a module of another version than the addon, whose manifests are read from SLIPWAY_UPSTREAM.
	upstream bool
}

// kubernetesDate replaces the build time, for reproducible binaries.
const kubernetesDate = "1970-01-01T00:00:00Z"

// components lists the components of a bundle. The first shares most packages with the others.
func components() []component {
	return []component{
		{
			name:   "kubernetes",
			module: "k8s.io/kubernetes",
			packages: append(under("k8s.io/kubernetes/cmd/", "kubeadm", "kubelet", "kubectl", "kube-apiserver",
				"kube-controller-manager", "kube-scheduler", "kube-proxy"), "k8s.io/kubernetes/test/images/agnhost"),
			// The tags of hack/lib/golang.sh for a release, without notest: it removes three methods for fuzzing, and
			// all of client-go would be compiled again.
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
			// Without the snapshotters that need C libraries or other file systems.
			tags: []string{
				"netgo", "osusergo", "static_build", "urfave_cli_no_docs",
				"no_btrfs", "no_devmapper", "no_zfs",
			},
			ldflags: setVersion("github.com/containerd/containerd/v2/version.Version"),
		},
		{
			name:   "etcd",
			module: "go.etcd.io/etcd/server/v3",
			// The server's module has no command: modules/etcd adds it.
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
		calicoComponent(),
	}
}

// selected returns the components of a cluster with these addons.
func selected(addons []string) []component {
	return slices.DeleteFunc(components(), func(c component) bool {
		return c.addon != "" && !slices.Contains(addons, c.addon)
	})
}

// buildable returns the addons that have components.
func buildable() []string {
	var names []string
	for _, c := range components() {
		if c.addon != "" && !slices.Contains(names, c.addon) {
			names = append(names, c.addon)
		}
	}
	return names
}

// modulesPath is the prefix of the import paths under modules/.
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

// kubernetesFlags returns the flags of hack/lib/version.sh of Kubernetes.
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

// arguments of "go build", without the output directory. They are part of the component's key.
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

// environment of a build, in addition to the caller's. It is part of the component's key.
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
