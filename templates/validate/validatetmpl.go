// Package validatetmpl renders the manifests of a validation: the test namespace,
// a test pod on each node with two Services, and the workloads of single probes.
package validatetmpl

import (
	"bytes"
	"embed"
	"fmt"
	"text/template"
)

//go:embed *.yaml.tmpl
var files embed.FS

// Data is the data of the namespace and of the test pods.
type Data struct {
	// Namespace is the name of the test namespace.
	Namespace string
	// Name is the name of the DaemonSet and of the ClusterIP Service; the
	// NodePort Service is called NAME-node-port.
	Name string
	// Container is the name of the container of the pods, Image its image,
	// agnhost.
	Container, Image string
	// HTTPPort and UDPPort are ports of the pods, ServicePort of the Services.
	HTTPPort, UDPPort, ServicePort int
	// Without are nodes that get no pod: one on a node that is off could not be
	// deleted.
	Without []string
}

// Namespace renders the Namespace. Apply it first, and wait for its default
// ServiceAccount: pods are refused without it.
func Namespace(data Data) ([]byte, error) { return render("namespace.yaml.tmpl", data) }

// Probe renders the DaemonSet and the Services.
func Probe(data Data) ([]byte, error) { return render("probe.yaml.tmpl", data) }

// Workload is the data of the workloads of single probes; each template uses a
// part of it.
type Workload struct {
	// Namespace is the name of the test namespace, Name that of the objects.
	Namespace, Name string
	// Container is the name of the container of the pods, Image its image,
	// agnhost.
	Container, Image string
	// Class is a StorageClass, or an IngressClass; an empty IngressClass is the
	// default one.
	Class string
	// Claim is the PersistentVolumeClaim of a pod, Avoid a node on which it must
	// not run; empty for none.
	Claim, Avoid string
	// Replicas is the number of replicas of a StatefulSet.
	Replicas int
	// Version is a label of the pods of a Deployment.
	Version string
	// Target is the Deployment, the pods or the Service behind an object.
	Target string
	// Host and Path are those of an Ingress; Certificate and Key are its TLS pair,
	// PEM in base64.
	Host, Path, Certificate, Key string
	// Label is the label of the pods that a NetworkPolicy allows.
	Label string
	// HTTPPort is a port of the pods, ServicePort of a Service.
	HTTPPort, ServicePort int
}

// Render renders a workload by the name of its template, such as "claim".
func Render(name string, data Workload) ([]byte, error) { return render(name+".yaml.tmpl", data) }

func render(name string, data any) ([]byte, error) {
	t, err := template.New(name).Option("missingkey=error").ParseFS(files, name)
	if err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, data); err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	return out.Bytes(), nil
}
