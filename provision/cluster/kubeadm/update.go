package kubeadm

import (
	"bytes"
	"maps"

	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/systemd"
)

const (
	// ManifestsDir is where kubelet finds the static pods of its host.
	ManifestsDir = etcKubernetes + "/manifests"
	// APIServerCertificate is that with which the API server of a host serves.
	APIServerCertificate = pkiDir + "/apiserver.crt"
	// KubeletConfig is the configuration that kubelet reads when it starts.
	KubeletConfig = "/var/lib/kubelet/config.yaml"

	// KubeletUnit and KubeletDropIn are the files of kubelet's service.
	KubeletUnit   = "/etc/systemd/system/kubelet.service"
	KubeletDropIn = "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf"
	// KubeletProgram is the kubelet that the service runs.
	KubeletProgram = "/usr/local/bin/kubelet"
)

// KubeletService is kubelet with the files that it reads when it starts. systemd knows
// kubeadm-flags.env from the drop-in.
func KubeletService() systemd.Service {
	return systemd.Service{Name: "kubelet.service", Files: []string{KubeletProgram, KubeletUnit, KubeletDropIn, KubeletConfig}}
}

// Update returns what the phases of `kubeadm init` read to write the files of a node of a
// cluster that exists: InitConfiguration, with what belongs to the node, and the documents
// of the cluster. certificatesDir replaces that of the cluster, unless it is empty.
func Update(c *config.Cluster, node Node, certificatesDir string, cluster, kubelet map[string]any) ([]byte, error) {
	init := map[string]any{
		"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "InitConfiguration",
		"localAPIEndpoint": map[string]any{"advertiseAddress": node.IP.String(), "bindPort": c.ControlPlane.BindPort},
		"nodeRegistration": map[string]any{"name": node.Spec.Name, "criSocket": CRISocket},
	}
	if patches := patchesOf(c, node.Spec); patches != nil {
		init["patches"] = patches
	}
	cluster = maps.Clone(cluster)
	cluster["kubernetesVersion"] = node.Version
	if certificatesDir != "" {
		cluster["certificatesDir"] = certificatesDir
	}
	var out bytes.Buffer
	for _, document := range []map[string]any{init, cluster, kubelet} {
		if document == nil {
			continue
		}
		if out.Len() > 0 {
			out.WriteString("---\n")
		}
		text, err := yaml.Marshal(document)
		if err != nil {
			return nil, err
		}
		out.Write(text)
	}
	return out.Bytes(), nil
}

// patchesOf returns where a host has patches for what kubeadm writes; nil without any. The
// seed had those of initConfiguration; it is not known any more which control plane that
// was.
func patchesOf(c *config.Cluster, h config.Host) any {
	if !h.Has(config.RoleControlPlane) || c.Kubernetes.InitConfiguration["patches"] == nil {
		return c.Kubernetes.JoinConfiguration["patches"]
	}
	return c.Kubernetes.InitConfiguration["patches"]
}
