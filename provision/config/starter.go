package config

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"text/template"

	"sigs.k8s.io/yaml"
)

//go:embed starter.yaml.tmpl
var starter string

// StarterOptions are the values of the starter inventory. The zero value gives an
// example with three hosts.
type StarterOptions struct {
	// Name of the cluster, default "kubernetes".
	Name string
	// Version of Kubernetes, default DefaultKubernetesVersion.
	Version string
	// Endpoint is controlPlane.endpoint.
	Endpoint string
	// Schema is the URL of the JSON Schema for editors, or its path relative to the
	// inventory. Empty omits it.
	Schema string
	// Hosts of the cluster: name, address, roles and nodeIP.
	Hosts []Host
}

// Starter returns a commented inventory to start from. If the options make it
// invalid, it returns the text with the error of Parse, without a file name.
func Starter(o StarterOptions) ([]byte, error) {
	o.Name = cmp.Or(o.Name, defaultClusterName)
	o.Version = cmp.Or(o.Version, DefaultKubernetesVersion)
	if len(o.Hosts) == 0 {
		o.Hosts = exampleHosts()
	}
	t, err := template.New("starter.yaml").Funcs(template.FuncMap{"yaml": quoted}).
		Option("missingkey=error").Parse(starter)
	if err != nil {
		return nil, fmt.Errorf("starter inventory: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, o); err != nil {
		return nil, fmt.Errorf("starter inventory: %w", err)
	}
	_, err = Parse("", out.Bytes())
	return out.Bytes(), err
}

// quoted returns a YAML value on one line, quoted where necessary.
func quoted(v any) (string, error) {
	text, err := yaml.Marshal(v)
	if err == nil && bytes.Count(text, []byte("\n")) > 1 {
		text, err = json.Marshal(v) // JSON is YAML
	}
	return strings.TrimSpace(string(text)), err
}

// exampleHosts have addresses from the range for documentation (RFC 5737).
func exampleHosts() []Host {
	return []Host{
		{Name: "control-1", Address: "192.0.2.11", Roles: []Role{RoleControlPlane}},
		{Name: "worker-1", Address: "192.0.2.21", Roles: []Role{RoleWorker}},
		{Name: "worker-2", Address: "192.0.2.22", Roles: []Role{RoleWorker}},
	}
}

// ParseHost parses the value of a flag: "name=address[,role...]", such as
// "node-1=192.0.2.11,control-plane,worker". The default role is worker.
func ParseHost(text string) (Host, error) {
	name, rest, ok := strings.Cut(text, "=")
	parts := strings.Split(rest, ",")
	if !ok || name == "" || parts[0] == "" {
		return Host{}, fmt.Errorf("invalid host %q: write name=address[,role...], such as node-1=192.0.2.11,control-plane", text)
	}
	h := Host{Name: name, Address: parts[0]}
	for _, role := range parts[1:] {
		if r := Role(role); r != RoleControlPlane && r != RoleWorker && r != RoleEtcd {
			return Host{}, fmt.Errorf("invalid host %q: unknown role %q: use %s, %s or %s", text, role, RoleControlPlane, RoleWorker, RoleEtcd)
		}
		h.Roles = append(h.Roles, Role(role))
	}
	if len(h.Roles) == 0 {
		h.Roles = []Role{RoleWorker}
	}
	return h, nil
}
