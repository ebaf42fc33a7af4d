package config

// The addons that slipway knows. Any other name is one of the user's own.
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

// Addon is something that runs on the cluster: one that slipway knows
// (local-path, longhorn, traefik, ingress-nginx, gateway-api, metallb,
// metrics-server, headlamp), or your own manifests or Helm chart under a name
// of your choice. One that is taken out of the list is removed from the
// cluster.
type Addon struct {
	// Name is that of an addon that slipway knows, or any other DNS label for
	// your own.
	Name string `json:"name" pattern:"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$" example:"traefik"`
	// Default makes its StorageClass (local-path, longhorn) or IngressClass
	// (traefik, ingress-nginx) the default one. Default: true for the first of
	// each sort in the list.
	Default *bool `json:"default,omitempty"`
	// ControlPlanes lets an ingress (traefik, ingress-nginx) run on control
	// planes too, so that their ports 80 and 443 answer.
	ControlPlanes bool `json:"controlPlanes,omitempty"`
	// Addresses are those that metallb gives to Services of type LoadBalancer:
	// an address, a range "192.0.2.240-192.0.2.250", or a CIDR.
	Addresses []string `json:"addresses,omitempty" example:"192.0.2.240-192.0.2.250"`
	// Replicas is how many copies longhorn keeps of a volume. Default: one on
	// each schedulable node, 3 at most.
	Replicas int `json:"replicas,omitempty" minimum:"1" maximum:"20" example:"3"`
	// Path is the folder on the nodes that holds the volumes of local-path
	// (default /opt/local-path-provisioner) or of longhorn (default
	// /var/lib/longhorn).
	Path string `json:"path,omitempty" example:"/opt/local-path-provisioner"`
	// Namespace is where objects of your own go that name none, and where a
	// chart is installed. It is made if it is not there. Default: the addon's
	// name for a chart, else "default".
	Namespace string `json:"namespace,omitempty" pattern:"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" example:"monitoring"`
	// Manifests are your own files of Kubernetes objects.
	Manifests []ManifestSource `json:"manifests,omitempty"`
	// Chart is your own Helm chart.
	Chart Chart `json:"chart,omitzero"`
	// Patches change objects of the addon before they are applied.
	Patches []Patch `json:"patches,omitempty"`
}

// ManifestSource is a file of Kubernetes objects: a path, or a URL and its
// sum.
type ManifestSource struct {
	// Path is a YAML file, or a folder of them; relative to the inventory.
	Path string `json:"path,omitempty" example:"manifests/demo.yaml"`
	// URL is where the file is fetched from, once, by the installer.
	URL string `json:"url,omitempty" example:"https://example.com/demo.yaml"`
	// SHA256 is the sum of what the URL has, 64 hex digits.
	SHA256 string `json:"sha256,omitempty" pattern:"^[0-9a-f]{64}$"`
}

// Chart is a Helm chart: a path, a URL and its sum, or an OCI reference and a
// version. It is rendered by the installer and applied like manifests: there
// is no Helm release in the cluster, and hooks do not run.
type Chart struct {
	// Path is a folder or an archive (.tgz), relative to the inventory.
	Path string `json:"path,omitempty" example:"charts/demo"`
	// URL is where an archive is fetched from.
	URL string `json:"url,omitempty" example:"https://example.com/demo-1.2.3.tgz"`
	// SHA256 is the sum of what the URL has, 64 hex digits.
	SHA256 string `json:"sha256,omitempty" pattern:"^[0-9a-f]{64}$"`
	// OCI is the chart's name in a registry.
	OCI string `json:"oci,omitempty" pattern:"^oci://" example:"oci://registry.example/charts/demo"`
	// Version of the chart in the registry.
	Version string `json:"version,omitempty" example:"1.2.3"`
	// Values are those of the chart that differ from its defaults.
	Values map[string]any `json:"values,omitempty"`
}

// Patch changes one object, as a JSON merge patch (RFC 7396: null removes a
// field, a list replaces a list).
type Patch struct {
	// Kind, such as Deployment, of the object.
	Kind string `json:"kind" example:"Deployment"`
	// Name of the object.
	Name string `json:"name" example:"longhorn-ui"`
	// Namespace of the object; may be left out if no other has its kind and
	// name.
	Namespace string `json:"namespace,omitempty" example:"longhorn-system"`
	// Patch is what is merged over the object.
	Patch map[string]any `json:"patch"`
}
