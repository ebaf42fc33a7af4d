package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

var sum256 = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (v *validator) addons() {
	for i, a := range v.c.Addons {
		at := item("addons", i)
		v.label(at+".name", a.Name)
		if slices.ContainsFunc(v.c.Addons[:i], func(o Addon) bool { return o.Name == a.Name }) && a.Name != "" {
			v.report(at+".name", "remove one of them", "%s is there twice", a.Name)
		}
		v.addonName(at, a)
		v.addonFields(at, a)
		v.addonPath(at, a)
		v.addresses(at, a)
		v.custom(at, a)
	}
	v.defaultClasses()
}

// addonName refuses names that are meant for something else.
func (v *validator) addonName(at string, a Addon) {
	switch near := closest(a.Name, KnownAddons()); {
	case slices.Contains(PodNetworks(), a.Name):
		v.report(at+".name", "write network: {cni: {name: "+a.Name+"}}", "%s is a pod network", a.Name)
	case !a.Known() && near != "" && len(a.Manifests) == 0 && !a.Chart.Given():
		v.report(at+".name", fmt.Sprintf("did you mean %s?", near), "%q is not known, and has no manifests and no chart", a.Name)
	case !a.Known() && len(a.Manifests) == 0 && !a.Chart.Given():
		v.report(at+".name", "use "+oneOf(KnownAddons())+", or give it manifests or a chart",
			"%q is not known, and has no manifests and no chart", a.Name)
	}
}

// addonFields refuses fields that say nothing to the addon.
func (v *validator) addonFields(at string, a Addon) {
	classes := slices.Concat(storageAddons, ingressAddons)
	for _, f := range []struct {
		name string
		set  bool
		of   []string
	}{
		{"default", a.Default != nil, classes},
		{"controlPlanes", a.ControlPlanes, ingressAddons},
		{"addresses", len(a.Addresses) > 0, []string{AddonMetalLB}},
		{"replicas", a.Replicas != 0, []string{AddonLonghorn}},
		{"path", a.Path != "", storageAddons},
	} {
		if f.set && !slices.Contains(f.of, a.Name) {
			v.report(at+"."+f.name, "remove it", "only %s has it", oneOf(f.of))
		}
	}
	for name, set := range map[string]bool{
		"namespace": a.Namespace != "", "manifests": len(a.Manifests) > 0, "chart": a.Chart.Given(),
	} {
		if set && a.Known() {
			v.report(at+"."+name, "remove it, or give your own addon another name", "slipway knows what %s consists of", a.Name)
		}
	}
	if workers := len(v.c.Workers()); a.Replicas > workers && workers > 0 {
		v.report(at+".replicas", fmt.Sprintf("use 1 to %d", workers), "%d copies need as many nodes, there are %d", a.Replicas, workers)
	}
}

func (v *validator) addonPath(at string, a Addon) {
	if a.Path != "" && (!path.IsAbs(a.Path) || path.Clean(a.Path) != a.Path || a.Path == "/") {
		v.report(at+".path", "write an absolute path, such as /opt/local-path-provisioner", "%q is no folder on a node", a.Path)
	}
}

// addresses checks a load balancer's pool against the cluster's own addresses.
func (v *validator) addresses(at string, a Addon) {
	if a.Name == AddonMetalLB && len(a.Addresses) == 0 {
		v.report(at+".addresses", "list addresses of the machines' network that nobody uses, such as 192.0.2.240-192.0.2.250", "is missing")
	}
	for j, text := range a.Addresses {
		field := item(at+".addresses", j)
		pool, ok := v.pool(field, text)
		if !ok {
			continue
		}
		for name, text := range map[string]string{"network.podSubnet": v.c.Network.PodSubnet, "network.serviceSubnet": v.c.Network.ServiceSubnet} {
			if p, err := netip.ParsePrefix(text); err == nil && pool.Overlaps(p) {
				v.report(field, "choose addresses of the machines' own network", "%s overlaps %s %s", pool, name, p)
			}
		}
		for _, h := range v.c.Hosts {
			for _, own := range []string{h.Address, h.NodeIP} {
				if addr, err := netip.ParseAddr(own); err == nil && pool.Contains(addr.Unmap()) {
					v.report(field, "leave it out", "%s holds %s of host %s", pool, addr, h.Name)
					break
				}
			}
		}
		if addr, err := netip.ParseAddr(v.c.EndpointHost()); err == nil && pool.Contains(addr.Unmap()) {
			v.report(field, "leave it out", "%s holds controlPlane.endpoint %s", pool, addr)
		}
	}
}

// custom checks the sources of a user's own addon.
func (v *validator) custom(at string, a Addon) {
	for j, m := range a.Manifests {
		field := item(at+".manifests", j)
		v.oneSource(field, map[string]string{"path": m.Path, "url": m.URL})
		v.fetched(field, m.URL, m.SHA256)
	}
	if c := a.Chart; c.Given() {
		v.oneSource(at+".chart", map[string]string{"path": c.Path, "url": c.URL, "oci": c.OCI})
		v.fetched(at+".chart", c.URL, c.SHA256)
		if c.OCI != "" && !strings.HasPrefix(c.OCI, "oci://") {
			v.report(at+".chart.oci", "write oci://registry.example/charts/demo", "%q is no OCI reference", c.OCI)
		}
		if c.OCI != "" && c.Version == "" {
			v.report(at+".chart.version", "say which version, so that the same one comes each time", "is missing")
		}
		if c.OCI == "" && c.Version != "" {
			v.report(at+".chart.version", "remove it", "only a chart of a registry is chosen by its version")
		}
	}
}

func (v *validator) oneSource(at string, sources map[string]string) {
	var given, known []string
	for name, value := range sources {
		known = append(known, name)
		if value != "" {
			given = append(given, name)
		}
	}
	slices.Sort(known)
	if len(given) != 1 {
		v.report(at, "give "+oneOf(known), "needs exactly one source")
	}
}

// fetched checks that what is fetched has a sum.
func (v *validator) fetched(at, address, sum string) {
	if address == "" {
		if sum != "" {
			v.report(at+".sha256", "remove it", "only what is fetched by a url has a sum")
		}
		return
	}
	if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		v.report(at+".url", "write a whole URL, such as https://example.com/demo.yaml", "%q is not a URL", address)
	}
	if !sum256.MatchString(sum) {
		v.report(at+".sha256", "write the 64 hex digits that sha256sum prints", "%q is no sha256", sum)
	}
}

// defaultClasses refuses two defaults of a sort.
func (v *validator) defaultClasses() {
	for _, sort := range [][]string{storageAddons, ingressAddons} {
		first := ""
		for i, a := range v.c.Addons {
			switch {
			case !slices.Contains(sort, a.Name) || a.Default == nil || !*a.Default:
			case first != "":
				v.report(item("addons", i)+".default", "leave one of them", "%s is the default already", first)
			default:
				first = a.Name
			}
		}
	}
}

// Given says whether the addon has a chart.
func (c Chart) Given() bool {
	return c.Path != "" || c.URL != "" || c.OCI != "" || c.SHA256 != "" || c.Version != "" || len(c.Values) > 0
}
