package facts

import (
	"encoding/base64"
	"strings"
)

// Software is what is installed on a host that matters to a cluster.
type Software struct {
	// Kubelet and Containerd are the versions of the programs on the PATH;
	// empty where there is none.
	Kubelet, Containerd string
	// ContainerdFileVersion is the version that /etc/containerd/config.toml
	// says it has; ContainerdConfig what `containerd config dump` says is in
	// effect, as TOML.
	ContainerdFileVersion, ContainerdConfig string
	// Packages are those of the distribution that bring what slipway installs.
	Packages []Package
	// Unfinished are the packages that dpkg began to install and was not let
	// finish: their files may be there, and do not work.
	Unfinished []string
	// PackageLocks are the processes that hold the package manager's lock:
	// "apt-get (pid 7)".
	PackageLocks []string
	// Proxy are the variables of services and logins, by name in lower case.
	Proxy map[string]string
	// Certificates are those that kubeadm made.
	Certificates []Certificate
	// MultipathBlacklist: multipathd's configuration names devices.
	MultipathBlacklist bool
}

// Package is one of the distribution's.
type Package struct {
	Name, Version string
	// Held: upgrades leave it alone.
	Held bool
}

// Certificate is a file of kubeadm's.
type Certificate struct {
	Path string
	PEM  []byte
}

// set reads a line of the script, and says whether it was one of software.
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
	case key == "certificate" && len(words) == 2:
		if content, err := base64.StdEncoding.DecodeString(words[1]); err == nil {
			s.Certificates = append(s.Certificates, Certificate{Path: words[0], PEM: content})
		}
	case key == "multipathBlacklist":
		s.MultipathBlacklist = true
	default:
		return false
	}
	return true
}
