// Package templates holds every file that lands on a host or in a cluster
// and every script that runs there, as real files. Nothing here decides
// anything: a phase chooses the file and gives it typed data.
package templates

import (
	"bytes"
	"embed"
	"fmt"
	"path"
	"text/template"
)

//go:embed addons facts hostprep journal kubeadm kubelet network lock preflight reset runtime systemd
var files embed.FS

// Script returns a fixed shell script, to be run with remote.Script. The name
// is the path below this folder. An unknown name is a mistake in the program
// and panics; a test renders them all.
func Script(name string) []byte {
	script, err := files.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return script
}

// File returns a fixed file that needs no rendering, as Script does.
func File(name string) []byte { return Script(name) }

// Render fills the template of that name with data. A field that data lacks
// is an error, never an empty string.
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
