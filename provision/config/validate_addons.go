package config

import (
	"fmt"
	"net/netip"
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
			v.report(at+".name", "remove one of them", "duplicate addon %s", a.Name)
		}
		v.addonName(at, a)
		v.addonFields(at, a)
		v.addonPath(at, a)
		v.addresses(at, a)
		v.custom(at, a)
	}
	v.defaultClasses()
}

// addonName rejects unknown addons and the names of pod networks.
func (v *validator) addonName(at string, a Addon) {
	switch near := closest(a.Name, KnownAddons()); {
	case slices.Contains(PodNetworks(), a.Name):
		v.report(at+".name", "write network: {cni: {name: "+a.Name+"}}", "%s is a pod network", a.Name)
	case !a.Known() && near != "" && len(a.Manifests) == 0 && !a.Chart.Given():
		v.report(at+".name", fmt.Sprintf("did you mean %s?", near), "unknown addon %q without manifests or chart", a.Name)
	case !a.Known() && len(a.Manifests) == 0 && !a.Chart.Given():
		v.report(at+".name", "use "+oneOf(KnownAddons())+", or add manifests or a chart for a custom addon",
			"unknown addon %q without manifests or chart", a.Name)
	}
}

// addonFields rejects fields that do not apply to the addon.
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
			v.report(at+"."+f.name, "remove it", "only for %s", oneOf(f.of))
		}
	}
	for name, set := range map[string]bool{
		"namespace": a.Namespace != "", "manifests": len(a.Manifests) > 0, "chart": a.Chart.Given(),
	} {
		if set && a.Known() {
			v.report(at+"."+name, "remove it, or rename your addon", "only for a custom addon: slipway provides %s", a.Name)
		}
	}
	if workers := len(v.c.Workers()); a.Replicas > workers && workers > 0 {
		v.report(at+".replicas", fmt.Sprintf("use 1 to %d", workers), "%d replicas need as many workers, but there are %d", a.Replicas, workers)
	}
}

func (v *validator) addonPath(at string, a Addon) {
	if a.Path != "" && (!path.IsAbs(a.Path) || path.Clean(a.Path) != a.Path || a.Path == "/") {
		v.report(at+".path", "write an absolute path, such as /opt/local-path-provisioner", "%q is not the absolute path of a directory", a.Path)
	}
}

// addresses checks a load balancer's pool against the addresses of the cluster.
func (v *validator) addresses(at string, a Addon) {
	if a.Name == AddonMetalLB && len(a.Addresses) == 0 {
		v.report(at+".addresses", "add unused addresses of the hosts' network, such as 192.0.2.240-192.0.2.250", "required field is missing")
	}
	for j, text := range a.Addresses {
		field := item(at+".addresses", j)
		pool, ok := v.pool(field, text)
		if !ok {
			continue
		}
		for name, text := range map[string]string{"network.podSubnet": v.c.Network.PodSubnet, "network.serviceSubnet": v.c.Network.ServiceSubnet} {
			if p, err := netip.ParsePrefix(text); err == nil && pool.Overlaps(p) {
				v.report(field, "choose addresses of the hosts' network", "%s overlaps %s %s", pool, name, p)
			}
		}
		for _, h := range v.c.Hosts {
			for _, address := range []string{h.Address, h.NodeIP} {
				if addr, err := netip.ParseAddr(address); err == nil && pool.Contains(addr.Unmap()) {
					v.report(field, "exclude it", "%s contains address %s of host %s", pool, addr, h.Name)
					break
				}
			}
		}
		if addr, err := netip.ParseAddr(v.c.EndpointHost()); err == nil && pool.Contains(addr.Unmap()) {
			v.report(field, "exclude it", "%s contains controlPlane.endpoint %s", pool, addr)
		}
	}
}

// custom checks the sources of a custom addon.
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
			v.report(at+".chart.oci", "write oci://registry.example/charts/demo", "%q is not an OCI reference", c.OCI)
		}
		if c.OCI != "" && c.Version == "" {
			v.report(at+".chart.version", "pin a version, so that each apply installs the same chart", "required field is missing")
		}
		if c.OCI == "" && c.Version != "" {
			v.report(at+".chart.version", "remove it", "only for a chart with oci")
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
		v.report(at, "set "+oneOf(known), "exactly one source is required")
	}
}

// fetched checks that a download has a sha256.
func (v *validator) fetched(at, address, sum string) {
	if address == "" {
		if sum != "" {
			v.report(at+".sha256", "remove it", "only for a source with url")
		}
		return
	}
	switch u, err := webURL(address); {
	case err != nil:
		v.report(at+".url", "write a URL, such as https://example.com/demo.yaml", "%q is not a URL", withoutPassword(address))
	case u.User != nil:
		v.report(at+".url", "remove them, or download the file and set path", "the URL of %s has credentials", u.Host)
	}
	const remedy = "write the 64 hex digits that sha256sum prints"
	switch {
	case sum == "":
		v.report(at+".sha256", remedy, "required field is missing")
	case !sum256.MatchString(sum):
		v.report(at+".sha256", remedy, "%q is not a sha256", sum)
	}
}

// defaultClasses rejects two defaults of one kind.
func (v *validator) defaultClasses() {
	for _, kind := range [][]string{storageAddons, ingressAddons} {
		first := ""
		for i, a := range v.c.Addons {
			switch {
			case !slices.Contains(kind, a.Name) || a.Default == nil || !*a.Default:
			case first != "":
				v.report(item("addons", i)+".default", "keep one default", "%s is already the default", first)
			default:
				first = a.Name
			}
		}
	}
}

// Given returns whether any field of the chart is set.
func (c Chart) Given() bool {
	return c.Path != "" || c.URL != "" || c.OCI != "" || c.SHA256 != "" || c.Version != "" || len(c.Values) > 0
}
