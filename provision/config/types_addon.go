package config

// The addons that slipway provides. Any other name is a custom addon.
const (
	AddonLocalPath     = "local-path"
	AddonLonghorn      = "longhorn"
	AddonTraefik       = "traefik"
	AddonIngressNginx  = "ingress-nginx"
	AddonGatewayAPI    = "gateway-api"
	AddonMetalLB       = "metallb"
	AddonMetricsServer = "metrics-server"
	AddonHeadlamp      = "headlamp"
)

// Addon is an addon that slipway provides (local-path, longhorn, traefik,
// ingress-nginx, gateway-api, metallb, metrics-server, headlamp), or a custom
// addon: your own manifests or Helm chart under a name of your choice. If you
// delete an addon from the list, `slipway apply` removes it from the
// cluster.
type Addon struct {
	// Name of an addon that slipway provides, or any other DNS label for a
	// custom addon.
	Name string `json:"name" pattern:"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$" example:"traefik"`
	// Default marks the StorageClass (local-path, longhorn) or IngressClass
	// (traefik, ingress-nginx) of the addon as the default class. Default: true
	// for the first addon of each kind in the list.
	Default *bool `json:"default,omitempty"`
	// ControlPlanes also runs an ingress controller (traefik, ingress-nginx) on
	// control planes, which then serve ports 80 and 443.
	ControlPlanes bool `json:"controlPlanes,omitempty"`
	// Addresses that metallb assigns to Services of type LoadBalancer: an
	// address, a range "192.0.2.240-192.0.2.250", or a CIDR.
	Addresses []string `json:"addresses,omitempty" example:"192.0.2.240-192.0.2.250"`
	// Replicas is the number of copies of each longhorn volume. Default: one for
	// each schedulable node, at most 3.
	Replicas int `json:"replicas,omitempty" minimum:"1" maximum:"20" example:"3"`
	// Path is the directory on the nodes for the volumes of local-path (default
	// /opt/local-path-provisioner) or longhorn (default /var/lib/longhorn).
	Path string `json:"path,omitempty" example:"/opt/local-path-provisioner"`
	// Namespace of a custom addon's chart, and of its objects that set none.
	// slipway creates it if it does not exist. Default: the addon's name for a
	// chart, else "default".
	Namespace string `json:"namespace,omitempty" pattern:"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" example:"monitoring"`
	// Manifests of a custom addon: files of Kubernetes objects.
	Manifests []ManifestSource `json:"manifests,omitempty"`
	// Chart of a custom addon: a Helm chart.
	Chart Chart `json:"chart,omitzero"`
	// Patches to objects of the addon.
	Patches []Patch `json:"patches,omitempty"`
}

// ManifestSource is a file of Kubernetes objects: a path, or a URL with its
// sha256.
type ManifestSource struct {
	// Path of a YAML file, or of a directory with YAML files, relative to the
	// inventory.
	Path string `json:"path,omitempty" example:"manifests/demo.yaml"`
	// URL from which slipway downloads the file once.
	URL string `json:"url,omitempty" example:"https://example.com/demo.yaml"`
	// SHA256 of the downloaded file, 64 hex digits.
	SHA256 string `json:"sha256,omitempty" pattern:"^[0-9a-f]{64}$"`
}

// Chart is a Helm chart: a path, a URL with its sha256, or an OCI reference with
// a version. slipway renders the chart and applies the manifests: it creates no
// Helm release and runs no hooks.
type Chart struct {
	// Path of a directory or an archive (.tgz), relative to the inventory.
	Path string `json:"path,omitempty" example:"charts/demo"`
	// URL from which slipway downloads an archive.
	URL string `json:"url,omitempty" example:"https://example.com/demo-1.2.3.tgz"`
	// SHA256 of the downloaded file, 64 hex digits.
	SHA256 string `json:"sha256,omitempty" pattern:"^[0-9a-f]{64}$"`
	// OCI reference of the chart in a registry, without the version.
	OCI string `json:"oci,omitempty" pattern:"^oci://" example:"oci://registry.example/charts/demo"`
	// Version of the chart in the registry.
	Version string `json:"version,omitempty" example:"1.2.3"`
	// Values that override the chart's defaults.
	Values map[string]any `json:"values,omitempty"`
}

// Patch is a JSON merge patch (RFC 7396) to one object: null removes a field, a
// list replaces a list.
type Patch struct {
	// Kind of the object, such as Deployment.
	Kind string `json:"kind" example:"Deployment"`
	// Name of the object.
	Name string `json:"name" example:"longhorn-ui"`
	// Namespace of the object. Optional if no other object has the same kind and
	// name.
	Namespace string `json:"namespace,omitempty" example:"longhorn-system"`
	// Patch to merge into the object.
	Patch map[string]any `json:"patch"`
}
