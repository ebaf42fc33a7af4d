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
	// planeSection has fields of the inventory outside of section kubernetes. Only
	// slipway's record has them.
	planeSection = "controlPlane"
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

// SettingsOf returns the settings of the inventory.
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
	plane := map[string]any{"bindPort": float64(c.ControlPlane.BindPort)}
	if kind := c.ControlPlane.LoadBalancer.Type; kind != config.LoadBalancerExternal { // the default with an endpoint
		plane["loadBalancer"] = map[string]any{"type": kind}
	}
	settings[planeSection] = plane
	setNames(settings[clusterSection], c.ControlPlane.CertSANs)
	return settings, nil
}

// certSANs is the path of the names in the certificates of API servers.
const certSANs = "kubernetes." + clusterSection + ".apiServer.certSANs"

// setNames leaves only those names of certificates that the inventory adds. Those of
// hosts come and go with them.
func setNames(document map[string]any, names []string) {
	server, ok := document["apiServer"].(map[string]any)
	if !ok {
		return
	}
	delete(server, "certSANs")
	var list []any
	for _, name := range names {
		list = append(list, name)
	}
	if len(list) > 0 {
		server["certSANs"] = list
	}
	if len(server) == 0 {
		delete(document, "apiServer")
	}
}

// sameNames reports whether certificates have the wanted names, and no more of those
// from before. They have more: those of hosts.
func sameNames(have, before, want any) bool {
	list := func(v any) []any {
		names, _ := v.([]any)
		return names
	}
	for _, name := range list(want) {
		if !slices.Contains(list(have), name) {
			return false
		}
	}
	return !slices.ContainsFunc(list(before), func(name any) bool {
		return slices.Contains(list(have), name) && !slices.Contains(list(want), name)
	})
}

// Differences returns the fields that wanted sets otherwise than the cluster, and
// those that slipway has set before, as recorded, and wanted leaves out. Fields that
// neither of them sets are the defaults of Kubernetes. A section that the cluster
// does not have is not compared.
func (live Settings) Differences(recorded, wanted Settings) []Difference {
	var all []Difference
	for _, section := range []string{clusterSection, initSection, kubeletSection, proxySection, planeSection} {
		have, at := live[section], "kubernetes."+section
		if section == planeSection {
			at = section
		}
		if section == initSection || section == planeSection {
			have = recorded[section] // nothing in the cluster has it
		}
		if have == nil {
			continue
		}
		before := recorded[section]
		if before == nil {
			before = map[string]any{}
		}
		all = append(all, differences(at, have, before, wanted[section])...)
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
	return s.Settings.Differences(recorded, wanted), nil
}

// Edits returns all fields of the inventory that differ from the cluster, whether apply
// changes them or not: those that cannot change, the version, and the settings.
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
		path := at + "." + name
		if path == certSANs && sameNames(have[name], before[name], want) || path != certSANs && same(have[name], want) {
			continue
		}
		all = append(all, Difference{Field: fieldOf(path), Have: text(have[name]), Want: text(want)})
	}
	return all
}

// fieldOf returns the field of the inventory that sets a field of a document.
func fieldOf(path string) string {
	if path == certSANs {
		return "controlPlane.certSANs"
	}
	return path
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
