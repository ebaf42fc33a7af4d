// Package templates contains the files for hosts and clusters, and the scripts that
// run on hosts. It makes no decisions: phases choose a file and pass its data.
package templates

import (
	"bytes"
	"embed"
	"fmt"
	"path"
	"text/template"
)

//go:embed addons endpoint etcd facts hostprep journal kubeadm kubelet network lock preflight reset runtime systemd
var files embed.FS

// Script returns a shell script, to run with host.Script. The name is the path
// below this directory. Script panics if there is no such file.
func Script(name string) []byte {
	script, err := files.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return script
}

// File returns a file that is not a template. It panics if there is no such file.
func File(name string) []byte { return Script(name) }

// Render executes the template of that name. A field that is missing in the data is
// an error.
func Render(name string, data any) ([]byte, error) {
	text, err := files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	t, err := template.New(path.Base(name)).Option("missingkey=error").Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, data); err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	return out.Bytes(), nil
}
