package cluster

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/config"
)

// Settings are the configuration of the components of a cluster, by the section of
// the inventory that overrides it: the documents that kubeadm keeps in ConfigMaps,
// and the overrides of initConfiguration, which only slipway's record has.
type Settings map[string]map[string]any

// The sections of Settings.
const (
	clusterSection = "clusterConfiguration"
	initSection    = "initConfiguration"
	kubeletSection = "kubeletConfiguration"
	proxySection   = "kubeProxyConfiguration"
)

// elsewhere lists the fields that are not compared: Fixed and State.Version have
// them, a phase keeps them up to date, or they are constants.
func elsewhere() map[string][]string {
	header := []string{"apiVersion", "kind"}
	return map[string][]string{
		clusterSection: append(header, "clusterName", "controlPlaneEndpoint", "kubernetesVersion", "networking"),
		kubeletSection: append(header, "cgroupDriver", "containerRuntimeEndpoint", "serverTLSBootstrap"),
		proxySection:   append(header, "clusterCIDR"),
	}
}

// SettingsOf returns the settings of the inventory. The names in the API server's
// certificates are those of controlPlane.certSANs alone.
func SettingsOf(c *config.Cluster) (Settings, error) {
	documents, err := kubeadm.Settings(c, c.Kubernetes.NewVersion())
	if err != nil {
		return nil, err
	}
	settings := Settings(documents)
	for section, fields := range elsewhere() {
		for _, field := range fields {
			delete(settings[section], field)
		}
	}
	return settings.withoutHosts(c), nil
}

// withoutHosts returns the settings without the control planes in certSANs: those of the
// inventory when the cluster was created. kubeadm adds the name and the address of a
// control plane that joins later to its certificate.
func (s Settings) withoutHosts(c *config.Cluster) Settings {
	server, _ := s[clusterSection]["apiServer"].(map[string]any)
	names, _ := server["certSANs"].([]any)
	if names == nil {
		return s
	}
	left := slices.DeleteFunc(slices.Clone(names), func(name any) bool {
		return slices.ContainsFunc(c.ControlPlanes(), func(h config.Host) bool { return name == h.Name || name == h.Address })
	})
	server = maps.Clone(server)
	if server["certSANs"] = left; len(left) == 0 {
		delete(server, "certSANs")
	}
	section := maps.Clone(s[clusterSection])
	section["apiServer"] = server
	s = maps.Clone(s)
	s[clusterSection] = section
	return s
}

// Differences returns the fields that wanted sets otherwise than the cluster, and
// those that slipway has set before, as recorded, and wanted leaves out. Fields that
// neither of them sets are the defaults of Kubernetes. A section that the cluster
// does not have is not compared.
func (live Settings) Differences(recorded, wanted Settings) []Difference {
	var all []Difference
	for _, section := range []string{clusterSection, initSection, kubeletSection, proxySection} {
		have := live[section]
		if section == initSection {
			have = recorded[section] // nothing in the cluster has it
		}
		if have == nil {
			continue
		}
		before := recorded[section]
		if before == nil {
			before = map[string]any{}
		}
		all = append(all, differences("kubernetes."+section, have, before, wanted[section])...)
	}
	return all
}

// Drift returns the settings of the inventory that differ from the cluster.
func (s *State) Drift(c *config.Cluster) ([]Difference, error) {
	wanted, err := SettingsOf(c)
	if err != nil {
		return nil, err
	}
	var recorded Settings
	if s.Record != nil {
		recorded = s.Record.Settings
	}
	return s.Settings.withoutHosts(c).Differences(recorded.withoutHosts(c), wanted), nil
}

// Edits returns all fields of the inventory that differ from the cluster and that
// apply does not change: those that cannot change, the version, and the settings.
func (s *State) Edits(c *config.Cluster) ([]Difference, error) {
	if s.Version == "" {
		return nil, nil // there is no cluster, or it does not answer
	}
	all := s.Fixed.Differences(FixedOf(c))
	if named := c.Kubernetes.Version; named != "" && named != s.Version {
		all = append(all, Difference{"kubernetes.version", s.Version, named})
	}
	drift, err := s.Drift(c)
	return append(all, drift...), err
}

// differences compares the fields of two mappings that wanted or before sets.
func differences(at string, have, before, wanted map[string]any) []Difference {
	names := map[string]bool{}
	for _, from := range []map[string]any{before, wanted} {
		for name := range from {
			names[name] = true
		}
	}
	var all []Difference
	for _, name := range slices.Sorted(maps.Keys(names)) {
		want, set := wanted[name]
		inner, isMap := want.(map[string]any)
		old, wasMap := before[name].(map[string]any)
		if isMap || wasMap && !set {
			below, _ := have[name].(map[string]any)
			all = append(all, differences(at+"."+name, below, old, inner)...)
			continue
		}
		field := fieldOf(at + "." + name)
		if same(have[name], want) || field == certSANs && sameNames(have[name], before[name], want) {
			continue
		}
		all = append(all, Difference{Field: field, Have: text(have[name]), Want: text(want)})
	}
	return all
}

const certSANs = "controlPlane.certSANs"

// fieldOf returns the field of the inventory that sets a field of a document.
func fieldOf(path string) string {
	if path == "kubernetes."+clusterSection+".apiServer.certSANs" {
		return certSANs
	}
	return path
}

// sameNames reports whether the certificates have the wanted names, and none that was
// wanted before. Other names are those of control planes that have left the inventory.
func sameNames(have, before, want any) bool {
	names, _ := have.([]any)
	old, _ := before.([]any)
	wanted, _ := want.([]any)
	missing := slices.ContainsFunc(wanted, func(name any) bool { return !slices.Contains(names, name) })
	left := slices.ContainsFunc(old, func(name any) bool { return slices.Contains(names, name) && !slices.Contains(wanted, name) })
	return !missing && !left
}

// same reports whether two values mean the same to a component: fields that are left
// out have the zero value, and durations may be written in several ways.
func same(have, want any) bool {
	if zero(have) && zero(want) {
		return true
	}
	switch want := want.(type) {
	case map[string]any:
		have, ok := have.(map[string]any)
		if !ok {
			return false
		}
		for _, name := range slices.Concat(slices.Collect(maps.Keys(have)), slices.Collect(maps.Keys(want))) {
			if !same(have[name], want[name]) {
				return false
			}
		}
		return true
	case []any:
		have, ok := have.([]any)
		return ok && slices.EqualFunc(have, want, same)
	case string:
		have, ok := have.(string)
		return ok && (have == want || sameDuration(have, want))
	default:
		return have == want
	}
}

func sameDuration(a, b string) bool {
	x, errX := time.ParseDuration(a)
	y, errY := time.ParseDuration(b)
	return errX == nil && errY == nil && x == y
}

// zero reports whether a component sees no difference to a field that is left out.
func zero(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		d, err := time.ParseDuration(v)
		return v == "" || err == nil && d == 0 && v != "0"
	case bool:
		return !v
	case float64:
		return v == 0
	case []any:
		return len(v) == 0
	case map[string]any:
		for _, inner := range v {
			if !zero(inner) {
				return false
			}
		}
		return true
	}
	return false
}

// text shows a value in one line; empty if it is not set.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	line, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(line))
}
