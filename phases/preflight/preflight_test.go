package preflight

import (
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/facts"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const two = `
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: w-1, address: 192.0.2.21}
`

// told is a finding as "check host severity".
func told(findings []Finding) []string {
	var all []string
	for _, f := range findings {
		all = append(all, strings.Join([]string{f.Check, f.Host, string(f.Severity)}, " "))
	}
	return all
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// journaled is a machine that slipway has worked on.
func journaled(f *facts.Facts) { f.Existing = append(f.Existing, workflow.JournalDir) }

func TestChecks(t *testing.T) {
	t.Parallel()
	cp := func(change func(*facts.Facts)) func(*workflowtest.Bed) {
		return func(b *workflowtest.Bed) { change(b.Facts("cp-1")) }
	}
	worker := func(change func(*facts.Facts)) func(*workflowtest.Bed) {
		return func(b *workflowtest.Bed) { change(b.Facts("w-1")) }
	}
	both := func(change func(*facts.Facts)) func(*workflowtest.Bed) {
		return func(b *workflowtest.Bed) { change(b.Facts("cp-1")); change(b.Facts("w-1")) }
	}
	tests := []struct {
		name, more string
		change     func(*workflowtest.Bed)
		want       []string
	}{
		{"ordinary machines", "", func(*workflowtest.Bed) {}, nil},
		{"ordinary machines that have joined already", "", both(func(f *facts.Facts) {
			journaled(f)
			f.Existing = append(f.Existing, "/etc/kubernetes/kubelet.conf", "/var/lib/kubelet/config.yaml", "/etc/kubernetes/admin.conf")
			f.CRISockets = []string{"/run/containerd/containerd.sock"}
			f.Listeners = []facts.Listener{{Port: 10250, Process: "kubelet"}, {Port: 6443, Process: "kube-apiserver"}}
			f.Routes = append(f.Routes, facts.Route{Destination: prefix("10.244.0.0/24"), Interface: "cni0"}, facts.Route{Destination: prefix("10.244.1.0/24"), Interface: "flannel.1"})
			f.Disks = []facts.Disk{{Path: "/var/lib/etcd", MountPoint: "/", FreeMiB: 1}}
		}), nil},

		{"another init", "", worker(func(f *facts.Facts) { f.Init = "runit" }), []string{"init-system w-1 error"}},
		{"another architecture", "", worker(func(f *facts.Facts) { f.Arch = "riscv64" }), []string{"architecture w-1 error"}},
		{"arm64", "", worker(func(f *facts.Facts) { f.Arch = "arm64" }), nil},
		{"cgroup v1", "", worker(func(f *facts.Facts) { f.CgroupVersion = 1 }), []string{"cgroup-v1 w-1 error"}},
		{"cgroup v1 that kubelet shall refuse", "kubernetes: {kubeletConfiguration: {failCgroupV1: true}}", worker(func(f *facts.Facts) { f.CgroupVersion = 1 }), []string{"cgroup-v1 w-1 error"}},
		{"cgroup v1 that kubelet accepts", "kubernetes: {kubeletConfiguration: {failCgroupV1: false}}", worker(func(f *facts.Facts) { f.CgroupVersion = 1 }), nil},
		{"a control plane with one CPU", "", cp(func(f *facts.Facts) { f.CPUs = 1 }), []string{"resources cp-1 error"}},
		{"a worker with one CPU", "", worker(func(f *facts.Facts) { f.CPUs = 1 }), nil},
		{"a control plane with a worker's memory", "", cp(func(f *facts.Facts) { f.MemoryMiB = 1699 }), []string{"resources cp-1 error"}},
		{"a worker with a worker's memory", "", worker(func(f *facts.Facts) { f.MemoryMiB = 900 }), nil},
		{"a worker with little of both", "", worker(func(f *facts.Facts) { f.CPUs, f.MemoryMiB = 0, 899 }), []string{"resources w-1 error", "resources w-1 error"}},
		{"a file system that holds all and is full", "", worker(func(f *facts.Facts) {
			for i := range f.Disks {
				f.Disks[i].FreeMiB = 3099
			}
		}), []string{"disk-space w-1 error"}},
		{"a file system that just holds all", "", worker(func(f *facts.Facts) {
			for i := range f.Disks {
				f.Disks[i].FreeMiB = 3100
			}
		}), nil},
		{"one of two file systems that is full", "", worker(func(f *facts.Facts) {
			f.Disks[0].MountPoint, f.Disks[0].FreeMiB = "/var/lib/containerd", 1999
		}), []string{"disk-space w-1 error"}},
		{"a kernel without a module", "", worker(func(f *facts.Facts) { f.Modules = []string{"overlay"} }), []string{"kernel w-1 error", "kernel w-1 error"}},
		{"a kernel that can load its modules", "", worker(func(f *facts.Facts) { f.Modules, f.Loadable = nil, []string{"overlay", "br_netfilter", "nf_conntrack"} }), nil},

		{"no address", "", worker(func(f *facts.Facts) { f.Addresses, f.Routes = nil, nil }), []string{"node-address w-1 error"}},
		{"a nodeIP that the machine has not", "", func(b *workflowtest.Bed) { b.Fleet.Machines[1].Spec.NodeIP = "203.0.113.1" }, []string{"node-address w-1 error"}},
		{"another cluster's files", "", worker(func(f *facts.Facts) { f.Existing = []string{"/etc/kubernetes/kubelet.conf", "/lib/modules"} }), []string{"leftovers w-1 error"}},
		{"another cluster's control plane", "", cp(func(f *facts.Facts) {
			f.Existing = []string{"/etc/kubernetes/admin.conf", "/etc/kubernetes/manifests/kube-apiserver.yaml", "/var/lib/etcd/member"}
		}), []string{"leftovers cp-1 error", "leftovers cp-1 error", "leftovers cp-1 error"}},
		{"a port that is taken", "", worker(func(f *facts.Facts) {
			f.Listeners = []facts.Listener{{Port: 10250, Process: "kubelet"}, {Port: 22, Process: "sshd"}}
		}), []string{"leftovers w-1 error"}},
		{"a control plane's port on a control plane", "", cp(func(f *facts.Facts) { f.Listeners = []facts.Listener{{Port: 6443, Process: "haproxy"}} }), []string{"leftovers cp-1 error"}},
		{"a control plane's port on a worker", "", worker(func(f *facts.Facts) { f.Listeners = []facts.Listener{{Port: 6443, Process: "haproxy"}} }), nil},
		{"another container runtime", "", worker(func(f *facts.Facts) { f.CRISockets = []string{"/run/crio/crio.sock"} }), []string{"cri-sockets w-1 warning"}},
		{"another's containerd", "", worker(func(f *facts.Facts) { f.CRISockets = []string{"/run/containerd/containerd.sock"} }), []string{"cri-sockets w-1 warning"}},
		{"our containerd and another runtime", "", worker(func(f *facts.Facts) {
			journaled(f)
			f.CRISockets = []string{"/run/containerd/containerd.sock", "/run/cri-dockerd.sock"}
		}), []string{"cri-sockets w-1 warning"}},

		{"a bundle of another version", "kubernetes: {version: v1.36.1}", func(*workflowtest.Bed) {}, []string{"version  error"}},
		{"a clock that is off", "", worker(func(f *facts.Facts) { f.Skew = -31 * time.Second }), []string{"clock-skew w-1 error"}},
		{"a clock that is a little off", "", worker(func(f *facts.Facts) { f.Skew = -30 * time.Second }), nil},
		{"clocks that are all off alike", "", both(func(f *facts.Facts) { f.Skew = time.Hour }), nil},
		{"cloned machines", "", both(func(f *facts.Facts) {
			f.Hostname, f.MachineID, f.ProductUUID, f.MACs = "debian", "aa", "bb", []string{"cc"}
		}), []string{"duplicate-hostname  error", "duplicate-machine-id  error", "duplicate-uuid  error", "duplicate-mac  error"}},
		{"what is not known is no duplicate", "", both(func(f *facts.Facts) { f.Hostname, f.MachineID, f.ProductUUID, f.MACs = "", "", "", nil }), nil},
		{"a bridge with the MAC of its interface", "", worker(func(f *facts.Facts) { f.MACs = []string{"02:01", "02:01"} }), nil},

		{"a route within the pods' range", "", worker(func(f *facts.Facts) {
			f.Routes = append(f.Routes, facts.Route{Destination: prefix("10.244.7.0/24"), Interface: "docker0"})
		}), []string{"cidr-overlap w-1 error"}},
		{"a route that holds both ranges", "", worker(func(f *facts.Facts) {
			f.Routes = append(f.Routes, facts.Route{Destination: prefix("10.0.0.0/8"), Interface: "eth0"})
		}), []string{"cidr-overlap w-1 error", "cidr-overlap w-1 error"}},
		{"a name server within the services' range", "", worker(func(f *facts.Facts) { f.Resolvers = []netip.Addr{netip.MustParseAddr("10.96.0.10")} }), []string{"cidr-overlap w-1 error"}},
		{"a name server elsewhere", "", worker(func(f *facts.Facts) { f.Resolvers = []netip.Addr{netip.MustParseAddr("127.0.0.53")} }), nil},
		{"ranges of the inventory", "network: {podSubnet: 172.20.0.0/16}", worker(func(f *facts.Facts) {
			f.Routes = append(f.Routes, facts.Route{Destination: prefix("172.20.3.0/24"), Interface: "eth1"})
		}), []string{"cidr-overlap w-1 error"}},
		{"host-gw's own routes", "network: {cni: {backend: host-gw}}", worker(func(f *facts.Facts) {
			journaled(f)
			f.Routes = append(f.Routes, facts.Route{Destination: prefix("10.244.1.0/24"), Interface: "eth0"})
		}), nil},
		{"routes like host-gw's before slipway was there", "network: {cni: {backend: host-gw}}", worker(func(f *facts.Facts) {
			f.Routes = append(f.Routes, facts.Route{Destination: prefix("10.244.1.0/24"), Interface: "eth0"})
		}), []string{"cidr-overlap w-1 error"}},
		{"a route of another to all of host-gw's range", "network: {cni: {backend: host-gw}}", worker(func(f *facts.Facts) {
			journaled(f)
			f.Routes = append(f.Routes, facts.Route{Destination: prefix("10.244.0.0/16"), Interface: "eth0"})
		}), []string{"cidr-overlap w-1 error"}},
	}
	fired := map[string]bool{}
	for _, test := range tests {
		for _, finding := range test.want {
			name, _, _ := strings.Cut(finding, " ")
			fired[name] = true
		}
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			bed := workflowtest.New(t, two+test.more+"\n")
			test.change(bed)
			findings := Run(bed.Cluster, bed.Fleet, workflowtest.Kubernetes)
			if diff := cmp.Diff(test.want, told(findings)); diff != "" {
				t.Error(diff)
			}
			for _, f := range findings {
				if f.Evidence == "" || f.Fix == "" {
					t.Errorf("%+v does not say what was seen and what to do", f)
				}
			}
		})
	}
	// Two control planes need an endpoint; see below.
	fired["control-planes"] = true
	for _, check := range checks() {
		if !fired[check.name] {
			t.Errorf("no test lets %s fire", check.name)
		}
	}
}

func TestSeveralControlPlanesAreRefused(t *testing.T) {
	t.Parallel()
	bed := workflowtest.New(t, `
controlPlane: {endpoint: api.example}
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: cp-2, address: 192.0.2.12, roles: [control-plane]}
  - {name: cp-3, address: 192.0.2.13, roles: [control-plane]}
`)
	if diff := cmp.Diff([]string{"control-planes  error"}, told(Run(bed.Cluster, bed.Fleet, workflowtest.Kubernetes))); diff != "" {
		t.Error(diff)
	}
}

func TestClockSkewIsMeasuredAgainstMostMachines(t *testing.T) {
	t.Parallel()
	bed := workflowtest.New(t, two+"  - {name: w-2, address: 192.0.2.22}\n")
	bed.Facts("cp-1").Skew = time.Hour
	if diff := cmp.Diff([]string{"clock-skew cp-1 error"}, told(Run(bed.Cluster, bed.Fleet, workflowtest.Kubernetes))); diff != "" {
		t.Error(diff)
	}
}

func TestPreflightRefusesOnErrorsOnly(t *testing.T) {
	t.Parallel()
	const ignore = "preflight: {ignore: [{check: resources, reason: a small lab}]}\n"
	small := func(f *facts.Facts) { f.CPUs = 1 }
	crio := func(f *facts.Facts) { f.CRISockets = []string{"/run/crio/crio.sock"} }
	tests := []struct {
		name, more string
		change     func(*facts.Facts)
		refused    []string
		notes      []string
	}{
		{"nothing found", "", func(*facts.Facts) {}, nil, nil},
		{"an error", "", small, []string{"resources cp-1 error"}, nil},
		{"an error that the inventory ignores", ignore, small, nil, []string{"cp-1: resources: 1 CPU, 2 needed (ignored: a small lab)"}},
		{"a warning", "", crio, nil, []string{"cp-1: cri-sockets: /run/crio/crio.sock is there: another container runtime runs on the machine; slipway installs its own containerd and passes its socket explicitly; remove the other if nothing needs it"}},
		{"another error than the inventory ignores", ignore, func(f *facts.Facts) { small(f); f.Init = "runit" }, []string{"init-system cp-1 error"}, []string{"cp-1: resources: 1 CPU, 2 needed (ignored: a small lab)"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			bed := workflowtest.New(t, two+test.more)
			bed.Bundle = workflowtest.NewBundle(t)
			test.change(bed.Facts("cp-1"))
			err := bed.Apply(Preflight())
			var found *FindingsError
			if errors.As(err, &found) != (test.refused != nil) || err != nil && found == nil {
				t.Fatalf("got %v", err)
			}
			if found != nil {
				if diff := cmp.Diff(test.refused, told(found.Findings)); diff != "" {
					t.Error(diff)
				}
				if workflow.Hint(err) != "nothing has been changed on any machine" {
					t.Errorf("hint %q", workflow.Hint(err))
				}
			}
			if diff := cmp.Diff(test.notes, bed.Notes()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFindingsErrorHasALineForEach(t *testing.T) {
	t.Parallel()
	err := &FindingsError{[]Finding{
		{Check: "resources", Host: "w-1", Evidence: "1 CPU", Fix: "more"},
		{Check: "version", Evidence: "old", Fix: "new"},
	}}
	if diff := cmp.Diff("w-1: resources: 1 CPU; more\nversion: old; new", err.Error()); diff != "" {
		t.Error(diff)
	}
}

func TestFindingsAreDocumentedJSON(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(Finding{Check: "resources", Severity: Warning, Evidence: "e", Fix: "f"})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"check":"resources","severity":"warning","evidence":"e","fix":"f"}`; string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
}

func TestFactsAreReadFromEveryMachine(t *testing.T) {
	t.Parallel()
	bed := workflowtest.New(t, two)
	args := slices.Concat(sysctls, []string{"--"}, paths)
	bed.Machine("cp-1").ExpectQueryScript("facts.sh", args...).Returns("arch\tx86_64\nkernel\t6.1\nhostname\tfirst\n")
	bed.Machine("w-1").ExpectQueryScript("facts.sh", args...).Returns("arch\taarch64\nkernel\t6.2\nhostname\tsecond\n")
	bed.MustApply(Facts())
	if a, b := bed.Facts("cp-1"), bed.Facts("w-1"); a.Hostname != "first" || b.Arch != "arm64" {
		t.Errorf("got %+v and %+v", a, b)
	}
}

func TestFactsThatCannotBeReadAreAnError(t *testing.T) {
	t.Parallel()
	bed := workflowtest.New(t, "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n")
	bed.Machine("cp-1").ExpectQueryScript("facts.sh", slices.Concat(sysctls, []string{"--"}, paths)...).Returns("This account is disabled.\n")
	if err := bed.Apply(Facts()); err == nil || !strings.Contains(err.Error(), "facts: incomplete") {
		t.Errorf("got %v", err)
	}
}

// What the checks ask for is what facts.sh is told to look for.
func TestEveryPathThatNeedsRoomIsLookedAt(t *testing.T) {
	t.Parallel()
	for path := range needMiB {
		if !slices.Contains(paths, path) {
			t.Errorf("the free space of %s is never read", path)
		}
	}
	if len(needMiB) != len(paths) {
		t.Errorf("%d paths are looked at, %d are needed", len(paths), len(needMiB))
	}
}
