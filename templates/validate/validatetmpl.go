// Package validatetmpl holds what a validation puts into the cluster: a
// namespace, and in it a test pod on each node with two Services.
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

func render(name string, data Data) ([]byte, error) {
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
