package facts

import "strings"

// Software is the installed software that matters to a cluster.
type Software struct {
	// Kubelet and Containerd are the versions of the programs on the PATH; empty
	// if not installed.
	Kubelet, Containerd string
	// ContainerdFileVersion is the version field of /etc/containerd/config.toml.
	// ContainerdConfig is the effective configuration in TOML, the output of
	// `containerd config dump`.
	ContainerdFileVersion, ContainerdConfig string
	// Mirrors are the registries whose mirrors slipway configured.
	Mirrors []string
	// Packages are the installed packages that contain programs which slipway
	// installs itself.
	Packages []Package
	// Unfinished are the packages whose installation dpkg has not finished. They
	// may not work.
	Unfinished []string
	// PackageLocks are the processes that hold the package manager's lock:
	// "apt-get (pid 7)".
	PackageLocks []string
	// Proxy holds the proxy variables of services and logins, by name in lower case.
	Proxy map[string]string
	// MultipathBlacklist: multipathd's configuration selects devices.
	MultipathBlacklist bool
}

// Package is an installed package of the distribution.
type Package struct {
	Name, Version string
	// Held: the package manager does not upgrade it.
	Held bool
}

// set sets a fact about software. It returns false if the key is not one.
func (s *Software) set(key, value string, words []string) bool {
	switch {
	case key == "kubelet":
		s.Kubelet = strings.TrimPrefix(value, "Kubernetes ")
	case key == "containerd" && len(words) >= 3:
		s.Containerd = words[2]
	case key == "containerdFile":
		s.ContainerdFileVersion = value
	case key == "containerdConfig":
		s.ContainerdConfig += value + "\n"
	case key == "mirror":
		s.Mirrors = append(s.Mirrors, value)
	case key == "package" && len(words) >= 2:
		s.Packages = append(s.Packages, Package{Name: words[0], Version: words[1], Held: len(words) > 2})
	case key == "unfinished":
		s.Unfinished = append(s.Unfinished, value)
	case key == "packageLock":
		s.PackageLocks = append(s.PackageLocks, value)
	case key == "proxy":
		name, setting, _ := strings.Cut(value, "=")
		if s.Proxy == nil {
			s.Proxy = map[string]string{}
		}
		s.Proxy[strings.ToLower(name)] = strings.Trim(setting, `"'`)
	case key == "multipathBlacklist":
		s.MultipathBlacklist = true
	default:
		return false
	}
	return true
}
