// Package templates contains the files for hosts and clusters, and the scripts that
// run on hosts. It makes no decisions: phases choose a file and pass its data.
package templates

import (
	"bytes"
	"embed"
	"fmt"
	"path"
	"slices"
	"text/template"
)

//go:embed addons backup endpoint etcd facts hostprep journal kubeadm kubelet network lock preflight reset runtime staticpod systemd upgrade
var files embed.FS

// beginnings has the scripts that begin with another one, which they share.
var beginnings = map[string]string{
	"etcd/backup.sh":              "etcd/snapshot.sh",
	"etcd/restore.sh":             "etcd/tool.sh",
	"etcd/snapshot.sh":            "etcd/tool.sh",
	"hostprep/packages-debian.sh": "hostprep/package-locks.sh",
	"hostprep/packages-redhat.sh": "hostprep/package-locks.sh",
	"journal/append.sh":           "journal/begin.sh",
	"journal/files.sh":            "journal/begin.sh",
}

// Script returns a shell script with its beginning, to run with host.Script. The name is
// the path below this directory. Script panics if there is no such file.
func Script(name string) []byte {
	if beginning, ok := beginnings[name]; ok {
		return slices.Concat(Script(beginning), File(name))
	}
	return File(name)
}

// File returns a file that is not a template. It panics if there is no such file.
func File(name string) []byte {
	file, err := files.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return file
}

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
