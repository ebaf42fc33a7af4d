package facts

import (
	"bufio"
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Parse parses the output of templates/facts/facts.sh. Before and after are the
// times of localhost at which the script was started and had ended. The host's
// clock is compared with the middle of them.
func Parse(output []byte, before, after time.Time) (*Facts, error) {
	f := &Facts{Sysctls: map[Sysctl]string{}}
	lines := bufio.NewScanner(bytes.NewReader(output))
	for lines.Scan() {
		key, value, ok := strings.Cut(lines.Text(), "\t")
		if !ok {
			continue
		}
		if key == "time" {
			now, err := parseTime(value)
			if err != nil {
				return nil, fmt.Errorf("facts: %w", err)
			}
			f.Skew = now.Sub(before.Add(after.Sub(before) / 2))
			continue
		}
		if err := f.set(key, value); err != nil {
			return nil, fmt.Errorf("facts: %s %q: %w", key, value, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("facts: %w", err)
	}
	if f.Arch == "" || f.Kernel == "" {
		return nil, fmt.Errorf("facts: incomplete: the script printed %d bytes without arch and kernel", len(output))
	}
	return f, nil
}

func (f *Facts) set(key, value string) (err error) {
	words := strings.Fields(value)
	switch key {
	case "hostname":
		f.Hostname = value
	case "arch":
		f.Arch = goArch(value)
	case "kernel":
		f.Kernel = value
	case "cpus":
		f.CPUs, err = strconv.Atoi(value)
	case "memoryKiB":
		f.MemoryMiB, err = atoiMiB(value)
	case "cgroup":
		f.CgroupVersion = 1
		if value == "cgroup2fs" {
			f.CgroupVersion = 2
		}
	case "controllers":
		f.Controllers = words
	case "selinux":
		f.SELinux = "permissive"
		if value == "1" {
			f.SELinux = "enforcing"
		}
	case "init":
		f.Init = value
	case "machineID":
		f.MachineID = value
	case "productUUID":
		f.ProductUUID = strings.ToLower(value)
	case "osID":
		f.OS.ID = value
	case "osLike":
		f.OS.Like = words
	case "osVersion":
		f.OS.Version = value
	case "osName":
		f.OS.Name = value
	case "swapActive":
		f.Swap.Active = append(f.Swap.Active, value)
	case "swapFstab":
		f.Swap.Fstab = append(f.Swap.Fstab, value)
	case "swapUnit":
		f.Swap.Units = append(f.Swap.Units, value)
	case "zram":
		f.Swap.Zram = append(f.Swap.Zram, value)
	case "module":
		f.Modules = append(f.Modules, value)
	case "modulesUnreadable":
		f.ModulesUnreadable = true
	case "loadable":
		f.Loadable = append(f.Loadable, value)
	case "criSocket":
		f.CRISockets = append(f.CRISockets, value)
	case "cniConfig":
		f.CNIConfigs = append(f.CNIConfigs, value)
	case "exists":
		f.Existing = append(f.Existing, Path(value))
	case "command":
		f.Commands = append(f.Commands, value)
	case "resetting":
		f.Resetting = true
	case "leftover":
		f.Leftovers = append(f.Leftovers, value)
	case "missing":
		f.Missing = append(f.Missing, value)
	case "sysctl":
		name, val, _ := strings.Cut(value, " ")
		f.Sysctls[Sysctl(name)] = strings.Join(strings.Fields(val), " ")
	case "resolver":
		if addr, err := netip.ParseAddr(value); err == nil {
			f.Resolvers = append(f.Resolvers, addr)
		}
	case "bridge":
		f.Bridges = append(f.Bridges, value)
	case "loopback":
		f.Loopback = append(f.Loopback, value)
	case "firewall":
		f.Firewalls = append(f.Firewalls, value)
	case "active":
		f.ActiveUnits = append(f.ActiveUnits, value)
	case "maxSessions":
		f.MaxSessions, err = strconv.Atoi(value)
	default:
		if f.Software.set(key, value, words) || f.Kubernetes.set(key, words) {
			return nil
		}
		err = f.setFields(key, words)
	}
	return err
}

// setFields sets the facts whose values have several fields.
func (f *Facts) setFields(key string, words []string) error {
	switch {
	case key == "mac" && len(words) == 2:
		if !ofPods(words[0]) {
			f.MACs = append(f.MACs, words[1])
		}
	case key == "address" && len(words) >= 2:
		prefix, err := parseAddress(words[1])
		if err != nil {
			return err
		}
		f.Addresses = append(f.Addresses, Address{Interface: words[0], Prefix: prefix, Dynamic: len(words) > 2})
	case key == "selinuxBoolean" && len(words) >= 2:
		if f.SELinuxBooleans == nil {
			f.SELinuxBooleans = map[string]bool{}
		}
		f.SELinuxBooleans[words[0]] = words[1] == "1"
	case key == "route" && len(words) >= 1:
		return f.setRoute(words)
	case key == "mtu" && len(words) == 2:
		mtu, err := strconv.Atoi(words[1])
		if err != nil {
			return err
		}
		if f.MTUs == nil {
			f.MTUs = map[string]int{}
		}
		f.MTUs[words[0]] = mtu
	case key == "disk" && len(words) >= 6:
		return f.setDisk(words)
	case key == "listen" && len(words) >= 1:
		port, err := strconv.Atoi(words[0])
		if err != nil {
			return err
		}
		l := Listener{Port: port}
		if len(words) > 1 {
			l.Process = words[1]
		}
		f.Listeners = append(f.Listeners, l)
	}
	// Ignore unknown keys and missing values.
	return nil
}

// setDisk parses path, size and free space in KiB, mount point, inodes, free
// inodes and the mount options "ro" and "noexec".
func (f *Facts) setDisk(words []string) error {
	var numbers [4]int
	for i, at := range []int{1, 2, 4, 5} {
		n, err := strconv.Atoi(words[at])
		if err != nil && (i < 2 || words[at] != "-") { // "-": the file system does not count inodes
			return err
		}
		numbers[i] = n
	}
	f.Disks = append(f.Disks, Disk{
		Path: words[0], MountPoint: words[3],
		SizeMiB: numbers[0] / 1024, FreeMiB: numbers[1] / 1024, Inodes: numbers[2], FreeInodes: numbers[3],
		ReadOnly: slices.Contains(words[6:], "ro"), NoExec: slices.Contains(words[6:], "noexec"),
	})
	return nil
}

// parseAddress parses an address with its prefix length. An address of a
// point-to-point link (WireGuard, PPP) has no prefix length.
func parseAddress(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

// setRoute parses a line of `ip -4 route`. It ignores route types such as
// unreachable and blackhole.
func (f *Facts) setRoute(words []string) error {
	r := Route{}
	switch dest := words[0]; {
	case dest == "default":
		r.Destination = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	case strings.Contains(dest, "/"):
		prefix, err := netip.ParsePrefix(dest)
		if err != nil {
			return err
		}
		r.Destination = prefix
	default:
		addr, err := netip.ParseAddr(dest)
		if err != nil {
			return nil // a route type
		}
		r.Destination = netip.PrefixFrom(addr, addr.BitLen())
	}
	for i := 1; i+1 < len(words); i++ {
		switch words[i] {
		case "dev":
			r.Interface = words[i+1]
		case "src":
			r.Source, _ = netip.ParseAddr(words[i+1])
		}
	}
	f.Routes = append(f.Routes, r)
	return nil
}

func parseTime(s string) (time.Time, error) {
	sec, nsec, _ := strings.Cut(s, ".")
	whole, err := strconv.ParseInt(sec, 10, 64)
	if err != nil {
		return time.Time{}, err
	}
	frac, _ := strconv.ParseInt(nsec, 10, 64)
	return time.Unix(whole, frac), nil
}

func atoiMiB(kib string) (int, error) {
	n, err := strconv.Atoi(kib)
	return n / 1024, err
}

func goArch(machine string) string {
	switch machine {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	return machine
}

// ofPods reports whether an interface is the host's end of a pod, or belongs to a pod
// network: those of Calico have the same MAC address, ee:ee:ee:ee:ee:ee, on all hosts.
func ofPods(link string) bool {
	return slices.ContainsFunc([]string{"cali", "veth", "cni", "flannel", "vxlan.calico"}, func(prefix string) bool {
		return strings.HasPrefix(link, prefix)
	})
}
