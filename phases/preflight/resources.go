package preflight

import (
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report/check"
)

// resourceChecks are about CPUs, memory and disks.
func resourceChecks() []Check {
	return []Check{
		{
			Description: check.Description{
				Name: "resources", Title: "the host has enough CPUs and memory", Kind: check.Host, Severity: check.Error,
				Examines: "The number of CPUs and the memory, against the minimum for the roles.",
				Why:      "kubeadm requires 2 CPUs and 1700 MB on a control plane. With less, the API server starves.",
				Manual:   []string{"nproc; free -m"},
			},
			run: eachHost(resources),
		},
		{
			Description: check.Description{
				Name: "disk-space", Title: "the disks have enough free space", Kind: check.Host, Severity: check.Error,
				Examines: "The free space for binaries, images, etcd and pods, added up per file system.",
				Why:      "The installation fails halfway on a full disk.",
				Manual:   []string{"df -h /usr/local/bin /var/lib/containerd /var/lib/etcd /var/lib/kubelet"},
			},
			run: eachHost(diskSpace),
		},
		{
			Description: check.Description{
				Name: "disk-pressure", Title: "disk usage is below the eviction thresholds of kubelet", Kind: check.Host, Severity: check.Error,
				Examines: "Free space and inodes of the file systems of kubelet and containerd against kubelet's evictionHard and imageGCHighThresholdPercent.",
				Why:      "The thresholds of kubelet are percentages: on a large, nearly full disk, it evicts pods and removes images at once.",
				Manual: []string{
					"df -h /var/lib/kubelet /var/lib/containerd; df -i /var/lib/kubelet",
					"# in the inventory: kubernetes.kubeletConfiguration.evictionHard: {nodefs.available: 5Gi, imagefs.available: 5Gi}",
				},
			},
			run: diskPressure,
		},
		{
			Description: check.Description{
				Name: "root-fs", Title: "the file systems are writable and executable", Kind: check.Host, Severity: check.Error,
				Examines: "Whether the used directories are writable, and the directories of programs are mounted without noexec.",
				Why:      "The installation fails halfway on a read-only or noexec file system.",
				Manual:   []string{"findmnt -T /usr/local/bin", "mount -o remount,rw,exec MOUNTPOINT"},
			},
			run: eachHost(rootFS),
		},
	}
}

// resources are kubeadm's own minimums: 2 CPUs and 1700 MB for a control plane.
func resources(h config.Host, f *facts.Facts) []check.Finding {
	cpus, memory := 1, 900
	if h.Has(config.RoleControlPlane) {
		cpus, memory = 2, 1700
	}
	var found []check.Finding
	if f.CPUs < cpus {
		found = append(found, check.Finding{Evidence: fmt.Sprintf("%d CPU, %d needed", f.CPUs, cpus), Fix: fmt.Sprintf("give the host %d CPUs", cpus)})
	}
	if f.MemoryMiB < memory {
		found = append(found, check.Finding{Evidence: fmt.Sprintf("%d MiB of memory, %d needed", f.MemoryMiB, memory), Fix: fmt.Sprintf("give the host %d MiB of memory", memory)})
	}
	return found
}

// needMiB is the free space that an installation needs below each path: the
// binaries are 300 MB, the images of a control plane unpack to 1 GB.
var needMiB = map[string]int{
	"/usr/local/bin": 400, "/opt/cni/bin": 100, "/var/lib/containerd": 2000, "/var/lib/etcd": 500, "/var/lib/kubelet": 200,
}

func diskSpace(_ config.Host, f *facts.Facts) []check.Finding {
	// An installed host has used the space already.
	if installed(f) {
		return nil
	}
	return full(f, needMiB)
}

// full returns a finding for each file system without the free space that is needed below
// some paths.
func full(f *facts.Facts, needMiB map[string]int) []check.Finding {
	needed := map[string]int{}
	for _, d := range f.Disks {
		needed[d.MountPoint] += needMiB[d.Path]
	}
	var found []check.Finding
	said := map[string]bool{}
	for _, d := range f.Disks {
		if need := needed[d.MountPoint]; d.FreeMiB < need && !said[d.MountPoint] {
			said[d.MountPoint] = true
			found = append(found, check.Finding{
				Evidence: fmt.Sprintf("%d MiB free on %s, %d needed", d.FreeMiB, d.MountPoint, need),
				Fix:      fmt.Sprintf("free %d MiB on %s: du -xh --max-depth=2 %s | sort -h", need-d.FreeMiB, d.MountPoint, d.MountPoint),
			})
		}
	}
	return found
}

// threshold is an eviction threshold of kubelet and the path whose file system it
// watches. The values are kubelet's defaults (kubelet.config.k8s.io/v1beta1,
// evictionHard).
type threshold struct {
	signal, path, value string
	inodes              bool
}

var thresholds = []threshold{
	{signal: "nodefs.available", path: "/var/lib/kubelet", value: "10%"},
	{signal: "nodefs.inodesFree", path: "/var/lib/kubelet", value: "5%", inodes: true},
	{signal: "imagefs.available", path: "/var/lib/containerd", value: "15%"},
	{signal: "imagefs.inodesFree", path: "/var/lib/containerd", value: "5%", inodes: true},
}

// imageGCPercent is kubelet's imageGCHighThresholdPercent.
const imageGCPercent = 85

func diskPressure(cc *checkContext) []check.Finding {
	kubelet := cc.cluster.Kubernetes.KubeletConfiguration
	own, _ := kubelet["evictionHard"].(map[string]any)
	merged, _ := kubelet["mergeDefaultEvictionSettings"].(bool)
	return eachHost(func(_ config.Host, f *facts.Facts) []check.Finding {
		var found []check.Finding
		for _, t := range thresholds {
			// An inventory that sets one threshold turns the other defaults off.
			if value, set := own[t.signal].(string); set || own != nil && !merged {
				t.value = value
			}
			if below, evidence := t.crossed(f); below {
				found = append(found, check.Finding{
					Evidence: evidence,
					Fix:      fmt.Sprintf("free some space there, or set kubernetes.kubeletConfiguration.evictionHard: {%s: SIZE}", t.signal),
				})
			}
		}
		percent := number(kubelet["imageGCHighThresholdPercent"], imageGCPercent)
		if percent == 100 { // kubelet collects nothing then
			return found
		}
		for _, d := range f.Disks {
			if d.Path != "/var/lib/containerd" || d.SizeMiB == 0 {
				continue
			}
			if used := 100 - d.FreeMiB*100/d.SizeMiB; used >= percent {
				found = append(found, check.Finding{
					Evidence: fmt.Sprintf("%d %% of %s is used; kubelet removes images above %d %%", used, d.MountPoint, percent),
					Fix:      "free some space there, or set kubernetes.kubeletConfiguration.imageGCHighThresholdPercent: 100",
				})
			}
		}
		return found
	})(cc)
}

// number returns a whole number of the inventory's YAML, or otherwise.
func number(value any, otherwise int) int {
	switch n := value.(type) {
	case int64:
		return int(n)
	case float64:
		return int(n)
	case int:
		return n
	}
	return otherwise
}

// crossed reports whether a host has less than the threshold, and the evidence.
func (t threshold) crossed(f *facts.Facts) (bool, string) {
	for _, d := range f.Disks {
		free, size, unit := d.FreeMiB, d.SizeMiB, "MiB"
		if t.inodes {
			free, size, unit = d.FreeInodes, d.Inodes, "inodes"
		}
		if d.Path != t.path || size == 0 {
			continue
		}
		if percent, ok := strings.CutSuffix(t.value, "%"); ok {
			limit, err := strconv.ParseFloat(percent, 64)
			least := int(limit * float64(size) / 100)
			return err == nil && free < least, fmt.Sprintf(
				"%d of %d %s free on %s: below kubelet's %s of %s (%d)", free, size, unit, d.MountPoint, t.signal, t.value, least)
		}
		least, err := resource.ParseQuantity(t.value)
		have := int64(free)
		if !t.inodes {
			have <<= 20
		}
		return err == nil && have < least.Value(), fmt.Sprintf(
			"%d %s free on %s: below kubelet's %s of %s", free, unit, d.MountPoint, t.signal, t.value)
	}
	return false, ""
}

func rootFS(_ config.Host, f *facts.Facts) []check.Finding {
	var found []check.Finding
	for _, d := range f.Disks {
		switch {
		case d.ReadOnly:
			found = append(found, check.Finding{
				Evidence: fmt.Sprintf("%s on %s is read-only", d.Path, d.MountPoint),
				Fix:      "mount -o remount,rw " + d.MountPoint + ", also in /etc/fstab",
			})
		case d.NoExec && strings.HasSuffix(d.Path, "/bin"):
			found = append(found, check.Finding{
				Evidence: fmt.Sprintf("programs in %s cannot be run: %s is mounted noexec", d.Path, d.MountPoint),
				Fix:      "mount -o remount,exec " + d.MountPoint + ", also in /etc/fstab",
			})
		}
	}
	return found
}
