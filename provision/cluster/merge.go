package cluster

import (
	"maps"
	"slices"
	"strings"

	"slipway.io/slipway/provision/config"
)

// Documents returns the configuration of the components as the inventory wants it: the
// documents of the cluster, with the settings that the inventory sets, and without those
// that it has set before and leaves out. Fields that slipway has never set stay. It is nil
// if the cluster does not exist or does not answer.
func (s *State) Documents(c *config.Cluster) (Settings, error) {
	if s == nil || s.Settings[clusterSection] == nil {
		return nil, nil
	}
	wanted, err := SettingsOf(c)
	if err != nil {
		return nil, err
	}
	var recorded Settings
	if s.Record != nil {
		recorded = s.Record.Settings
	}
	documents := Settings{}
	for _, section := range []string{clusterSection, kubeletSection, proxySection} {
		if have := s.Settings[section]; have != nil {
			documents[section] = merged("kubernetes."+section, have, recorded[section], wanted[section])
		}
	}
	return documents, nil
}

// ClusterConfiguration, KubeletConfiguration and KubeProxyConfiguration return the
// documents of these kinds; nil if the cluster does not have them.
func (live Settings) ClusterConfiguration() map[string]any { return live[clusterSection] }

// KubeletConfiguration is the document of all kubelets.
func (live Settings) KubeletConfiguration() map[string]any { return live[kubeletSection] }

// KubeProxyConfiguration is the document of kube-proxy.
func (live Settings) KubeProxyConfiguration() map[string]any { return live[proxySection] }

// With returns the settings with those of others. Both stay as they are.
func (live Settings) With(others Settings) Settings {
	all := maps.Clone(live)
	if all == nil {
		all = Settings{}
	}
	for section, document := range others {
		all[section] = config.Merge(all[section], document)
	}
	return all
}

// merged returns a document of the cluster with the differences that Differences finds.
func merged(at string, have, before, wanted map[string]any) map[string]any {
	result := maps.Clone(have)
	if result == nil {
		result = map[string]any{}
	}
	for _, name := range slices.Sorted(maps.Keys(union(before, wanted))) {
		want, set := wanted[name]
		inner, isMap := want.(map[string]any)
		old, wasMap := before[name].(map[string]any)
		path := at + "." + name
		switch {
		case isMap || wasMap && !set:
			below, _ := have[name].(map[string]any)
			if under := merged(path, below, old, inner); len(under) > 0 || below != nil && len(below) == 0 {
				result[name] = under
			} else {
				delete(result, name)
			}
		case path == certSANs:
			if names := mergedNames(have[name], before[name], want); len(names) > 0 {
				result[name] = names
			} else {
				delete(result, name)
			}
		case same(have[name], want):
		case set:
			result[name] = want
		default:
			delete(result, name)
		}
	}
	return result
}

// union returns a mapping with the names of both.
func union(a, b map[string]any) map[string]any {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]any{}
	}
	maps.Copy(all, b)
	return all
}

// mergedNames returns the names of certificates with those of the inventory: see
// sameNames.
func mergedNames(have, before, want any) []any {
	list := func(v any) []any {
		names, _ := v.([]any)
		return names
	}
	names := slices.DeleteFunc(slices.Clone(list(have)), func(name any) bool {
		return slices.Contains(list(before), name) && !slices.Contains(list(want), name)
	})
	for _, name := range list(want) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// unchangeable are the settings that a cluster keeps, and why.
var unchangeable = []struct{ field, why string }{
	{"kubernetes." + initSection, "`kubeadm init` has read it"},
	{"kubernetes." + clusterSection + ".etcd.local.dataDir", "the data of etcd is there"},
	{"kubernetes." + clusterSection + ".etcd.local.serverCertSANs", "the certificates of etcd exist"},
	{"kubernetes." + clusterSection + ".etcd.local.peerCertSANs", "the certificates of etcd exist"},
	{"kubernetes." + clusterSection + ".etcd.external", "the data of the cluster is there"},
	{"kubernetes." + clusterSection + ".caCertificateValidityPeriod", "the CA exists"},
	{"kubernetes." + clusterSection + ".proxy", "`kubeadm init` has installed or left out kube-proxy"},
	{"kubernetes." + clusterSection + ".dns", "`kubeadm init` has installed or left out CoreDNS"},
	{planeSection + ".bindPort", "load balancers and kubeconfigs have the port"},
	{planeSection + ".loadBalancer", "all hosts reach the API servers through it"},
}

// Unchangeable returns why the field cannot change while the cluster runs; empty if it
// can.
func (d Difference) Unchangeable() string {
	for _, u := range unchangeable {
		if d.Field == u.field || strings.HasPrefix(d.Field, u.field+".") {
			return u.why
		}
	}
	return ""
}

// Refused returns the settings of the inventory that differ from the cluster and cannot
// change.
func (s *State) Refused(c *config.Cluster) ([]Difference, error) {
	drift, err := s.Drift(c)
	return slices.DeleteFunc(drift, func(d Difference) bool { return d.Unchangeable() == "" }), err
}

// Pending returns the settings of the inventory that differ from the cluster and that
// apply brings there.
func (s *State) Pending(c *config.Cluster) ([]Difference, error) {
	drift, err := s.Drift(c)
	return slices.DeleteFunc(drift, func(d Difference) bool { return d.Unchangeable() != "" }), err
}
