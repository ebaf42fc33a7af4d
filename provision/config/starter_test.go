package config

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStarterIsAValidInventory(t *testing.T) {
	t.Parallel()
	node := Host{Name: "node-1", Address: "192.0.2.11", Roles: []Role{RoleControlPlane, RoleWorker}, NodeIP: "198.51.100.1"}
	three := make([]Host, 3)
	for i, name := range []string{"a", "b", "c"} {
		three[i] = Host{Name: name, Address: name + ".example", Roles: []Role{RoleControlPlane}}
	}
	for name, o := range map[string]StarterOptions{
		"of nothing":              {},
		"of one host":             {Name: "lab", Version: "v1.35.1", Schema: "schema.json", Hosts: []Host{node}},
		"of three control planes": {Endpoint: "api.example:6443", Hosts: three},
		"whose name is a boolean": {Name: "true", Hosts: []Host{{Name: "on", Address: "1e3.example", Roles: []Role{RoleControlPlane}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := Starter(o)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if err := compile(t).Validate(instance(t, text)); err != nil {
				t.Errorf("invalid for the schema: %v", err)
			}
			c, err := Parse("x", text)
			if err != nil {
				t.Fatal(err)
			}
			if o.Hosts != nil {
				if diff := cmp.Diff(o.Hosts, c.Hosts); diff != "" {
					t.Errorf("hosts (-want +got):\n%s", diff)
				}
			}
			if c.ControlPlane.Endpoint != o.Endpoint || o.Name != "" && c.Metadata.Name != o.Name {
				t.Errorf("want %+v, got %+v", o, c)
			}
			if has := strings.HasPrefix(string(text), "# yaml-language-server: $schema=schema.json\n"); has != (o.Schema != "") {
				t.Errorf("names its schema: %v", has)
			}
		})
	}
}

// Commented fields are valid without their #.
func TestStarterIsValidWhenUncommented(t *testing.T) {
	t.Parallel()
	text, err := Starter(StarterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile(`(?m)^( *)# (( *)[a-zA-Z]+:( .*)?)$`)
	taken := code.ReplaceAllString(string(text), "$1$2")
	c, err := Parse("x", []byte(taken))
	if err != nil {
		t.Fatalf("%v\n%s", err, taken)
	}
	if c.SSH.Bastion == "" || c.ControlPlane.Endpoint == "" || c.Kubernetes.KubeletConfiguration["maxPods"] == nil {
		t.Errorf("not all comments were taken in:\n%s", taken)
	}
	defaults, err := Parse("x", text)
	if err != nil {
		t.Fatal(err)
	}
	c.SSH, c.ControlPlane, c.Kubernetes.KubeletConfiguration = SSH{}, defaults.ControlPlane, nil
	if diff := cmp.Diff(defaults, c); diff != "" {
		t.Errorf("a comment differs from the default (-default +comment):\n%s", diff)
	}
}

func TestStarterReportsInvalidOptions(t *testing.T) {
	t.Parallel()
	text, err := Starter(StarterOptions{Name: "a: b\n#", Hosts: []Host{{Name: "a", Address: "x\ny: z", Roles: []Role{RoleControlPlane}}}})
	var invalid *Invalid
	if !errors.As(err, &invalid) || len(invalid.Problems) != 2 || len(text) == 0 {
		t.Errorf("want the string with two problems, got %v\n%s", err, text)
	}
}

func TestParseHost(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Host{
		"node-1=192.0.2.11":                {Name: "node-1", Address: "192.0.2.11", Roles: []Role{RoleWorker}},
		"a=a.example,control-plane":        {Name: "a", Address: "a.example", Roles: []Role{RoleControlPlane}},
		"a=192.0.2.1,control-plane,worker": {Name: "a", Address: "192.0.2.1", Roles: []Role{RoleControlPlane, RoleWorker}},
		"a":                                {}, "a=": {}, "=192.0.2.1": {}, "a=192.0.2.1,master": {}, "a=192.0.2.1,": {}, "": {},
	} {
		got, err := ParseHost(text)
		if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (want.Name != "") {
			t.Errorf("%q: %v (-want +got):\n%s", text, err, diff)
		}
	}
}
