// Package validatetmpl holds what a validation puts into the cluster: a
// namespace, in it a test pod on each node with two Services, and what single
// probes need beside them.
package validatetmpl

import (
	"bytes"
	"embed"
	"fmt"
	"text/template"
)

//go:embed *.yaml.tmpl
var files embed.FS

// Data is what the templates need.
type Data struct {
	// Namespace is of this run alone.
	Namespace string
	// Name is that of the DaemonSet and of the ClusterIP Service; the
	// NodePort Service is called Name-node-port.
	Name string
	// Container is the name of the pods' container, Image its image: agnhost.
	Container, Image string
	// HTTPPort and UDPPort are where the pods answer, ServicePort where the
	// Services do.
	HTTPPort, UDPPort, ServicePort int
}

// Namespace renders the Namespace. It goes first: pods are refused until its
// default ServiceAccount exists.
func Namespace(data Data) ([]byte, error) { return render("namespace.yaml.tmpl", data) }

// Probe renders the DaemonSet and the Services.
func Probe(data Data) ([]byte, error) { return render("probe.yaml.tmpl", data) }

// Workload is what the templates of single probes need; each needs a part of
// it.
type Workload struct {
	// Namespace is of this run alone, Name that of the objects.
	Namespace, Name string
	// Container is the name of the pods' container, Image its image: agnhost.
	Container, Image string
	// Class is a StorageClass, or an IngressClass (empty for the default one).
	Class string
	// Claim is the PersistentVolumeClaim of a pod, Avoid the node on which it
	// may not run (empty for none).
	Claim, Avoid string
	// Replicas of a StatefulSet.
	Replicas int
	// Version is a label of a Deployment's pods.
	Version string
	// Target is the workload or the Service that others are about.
	Target string
	// Host and Path are an Ingress's; Certificate and Key are its TLS pair, PEM
	// in base64.
	Host, Path, Certificate, Key string
	// Label is the one that a NetworkPolicy lets in.
	Label string
	// HTTPPort is where pods answer, ServicePort where a Service does.
	HTTPPort, ServicePort int
}

// Render renders the template of that name, without its ending: "claim".
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
