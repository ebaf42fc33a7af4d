package config

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The fields of kubeadm.k8s.io/v1beta4, to find typos in overrides: kubeadm
// only warns about an unknown field and ignores it. Copied from
// cmd/kubeadm/app/apis/kubeadm/v1beta4/types.go of Kubernetes v1.36 and v1.37, which is not
// published as a module.

type kubeadmCluster struct {
	metav1.TypeMeta             `json:",inline"`
	Etcd                        kubeadmEtcd       `json:"etcd"`
	Networking                  kubeadmNetworking `json:"networking"`
	KubernetesVersion           string            `json:"kubernetesVersion"`
	ControlPlaneEndpoint        string            `json:"controlPlaneEndpoint"`
	APIServer                   kubeadmAPIServer  `json:"apiServer"`
	ControllerManager           kubeadmComponent  `json:"controllerManager"`
	Scheduler                   kubeadmComponent  `json:"scheduler"`
	DNS                         kubeadmDNS        `json:"dns"`
	Proxy                       kubeadmProxy      `json:"proxy"`
	CertificatesDir             string            `json:"certificatesDir"`
	ImageRepository             string            `json:"imageRepository"`
	FeatureGates                map[string]bool   `json:"featureGates"`
	ClusterName                 string            `json:"clusterName"`
	EncryptionAlgorithm         string            `json:"encryptionAlgorithm"`
	CertificateValidityPeriod   metav1.Duration   `json:"certificateValidityPeriod"`
	CACertificateValidityPeriod metav1.Duration   `json:"caCertificateValidityPeriod"`
}

type kubeadmInit struct {
	metav1.TypeMeta  `json:",inline"`
	BootstrapTokens  []map[string]any    `json:"bootstrapTokens"`
	DryRun           bool                `json:"dryRun"`
	NodeRegistration kubeadmRegistration `json:"nodeRegistration"`
	LocalAPIEndpoint map[string]any      `json:"localAPIEndpoint"`
	CertificateKey   string              `json:"certificateKey"`
	SkipPhases       []string            `json:"skipPhases"`
	Patches          kubeadmPatches      `json:"patches"`
	Timeouts         kubeadmTimeouts     `json:"timeouts"`
}

type kubeadmJoin struct {
	metav1.TypeMeta  `json:",inline"`
	DryRun           bool                `json:"dryRun"`
	NodeRegistration kubeadmRegistration `json:"nodeRegistration"`
	CACertPath       string              `json:"caCertPath"`
	Discovery        map[string]any      `json:"discovery"`
	ControlPlane     map[string]any      `json:"controlPlane"`
	SkipPhases       []string            `json:"skipPhases"`
	Patches          kubeadmPatches      `json:"patches"`
	Timeouts         kubeadmTimeouts     `json:"timeouts"`
}

type kubeadmComponent struct {
	ExtraArgs    []kubeadmArg    `json:"extraArgs"`
	ExtraVolumes []kubeadmVolume `json:"extraVolumes"`
	ExtraEnvs    []corev1.EnvVar `json:"extraEnvs"`
}

type kubeadmAPIServer struct {
	ExtraArgs    []kubeadmArg    `json:"extraArgs"`
	ExtraVolumes []kubeadmVolume `json:"extraVolumes"`
	ExtraEnvs    []corev1.EnvVar `json:"extraEnvs"`
	CertSANs     []string        `json:"certSANs"`
}

type kubeadmArg struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type kubeadmVolume struct {
	Name      string `json:"name"`
	HostPath  string `json:"hostPath"`
	MountPath string `json:"mountPath"`
	ReadOnly  bool   `json:"readOnly"`
	PathType  string `json:"pathType"`
}

type kubeadmEtcd struct {
	Local    kubeadmLocalEtcd `json:"local"`
	External map[string]any   `json:"external"`
}

type kubeadmLocalEtcd struct {
	ImageRepository string          `json:"imageRepository"`
	ImageTag        string          `json:"imageTag"`
	DataDir         string          `json:"dataDir"`
	ExtraArgs       []kubeadmArg    `json:"extraArgs"`
	ExtraEnvs       []corev1.EnvVar `json:"extraEnvs"`
	ServerCertSANs  []string        `json:"serverCertSANs"`
	PeerCertSANs    []string        `json:"peerCertSANs"`
}

type kubeadmNetworking struct {
	ServiceSubnet string `json:"serviceSubnet"`
	PodSubnet     string `json:"podSubnet"`
	DNSDomain     string `json:"dnsDomain"`
}

type kubeadmDNS struct {
	ImageRepository string `json:"imageRepository"`
	ImageTag        string `json:"imageTag"`
	Disabled        bool   `json:"disabled"`
}

type kubeadmProxy struct {
	Disabled bool `json:"disabled"`
}

type kubeadmRegistration struct {
	Name                  string         `json:"name"`
	CRISocket             string         `json:"criSocket"`
	Taints                []corev1.Taint `json:"taints"`
	KubeletExtraArgs      []kubeadmArg   `json:"kubeletExtraArgs"`
	IgnorePreflightErrors []string       `json:"ignorePreflightErrors"`
	ImagePullPolicy       string         `json:"imagePullPolicy"`
	ImagePullSerial       bool           `json:"imagePullSerial"`
}

type kubeadmPatches struct {
	Directory string `json:"directory"`
}

type kubeadmTimeouts struct {
	ControlPlaneComponentHealthCheck metav1.Duration `json:"controlPlaneComponentHealthCheck"`
	KubeletHealthCheck               metav1.Duration `json:"kubeletHealthCheck"`
	KubernetesAPICall                metav1.Duration `json:"kubernetesAPICall"`
	EtcdAPICall                      metav1.Duration `json:"etcdAPICall"`
	TLSBootstrap                     metav1.Duration `json:"tlsBootstrap"`
	Discovery                        metav1.Duration `json:"discovery"`
	UpgradeManifests                 metav1.Duration `json:"upgradeManifests"`
}
