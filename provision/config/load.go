package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Load reads an inventory, sets defaults and validates it. All mistakes of its
// content are one *Invalid.
func Load(path string) (*Cluster, error) {
	data, err := os.ReadFile(path)
	if failed := (*fs.PathError)(nil); errors.As(err, &failed) {
		err = failed.Err // the message has the path already
	}
	if err != nil {
		return nil, fmt.Errorf("inventory %s: %w", path, err)
	}
	return Parse(path, data)
}

// Parse is Load for the content of the file with this name, which is part of
// messages. It makes all paths in the inventory absolute.
func Parse(name string, data []byte) (*Cluster, error) {
	root, problem := document(data)
	if problem != nil {
		return nil, &Invalid{File: name, Problems: []Problem{*problem}}
	}
	c := &Cluster{}
	d := newDecoder(reflect.TypeFor[Cluster]())
	d.places[""] = place{root.Line, root.Column}
	d.value("", root, reflect.ValueOf(c).Elem())
	v := validator{c: c, broken: d.broken, misspelt: d.misspelt, problems: d.problems}
	v.resolvePaths(filepath.Dir(name))
	c.SetDefaults()
	v.all()
	if err := invalid(name, v.problems, d.places); err != nil {
		return nil, err
	}
	c.separateLeaving()
	return c, nil
}

// Validate reports every mistake of a Cluster with defaults as an *Invalid without
// lines. Parse validates by itself.
func (c *Cluster) Validate() error {
	v := validator{c: c}
	v.all()
	return invalid("", v.problems, nil)
}

// document returns the single document of an inventory.
func document(data []byte) (*yaml.Node, *Problem) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var root *yaml.Node
	for {
		var n yaml.Node
		err := decoder.Decode(&n)
		switch {
		case errors.Is(err, io.EOF) && root != nil:
			return root, nil
		case errors.Is(err, io.EOF):
			return nil, &Problem{
				Line: 1, Column: 1, Message: "the inventory is empty",
				Remedy: "create one with `slipway init`",
			}
		case err != nil:
			return nil, syntaxProblem(err)
		}
		// Nothing after a last "---" is not a document.
		content := n.Content[0]
		if content.ShortTag() == "!!null" {
			continue
		}
		if root != nil {
			return nil, &Problem{
				Line: content.Line, Column: content.Column, Message: "unexpected second document",
				Remedy: "remove the ---, or move the document to another file",
			}
		}
		root = content
	}
}

// syntaxProblem takes the line from the message of the YAML parser, which exposes
// it nowhere else.
func syntaxProblem(err error) *Problem {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	p := &Problem{Line: 1, Message: message}
	if m := regexp.MustCompile(`^line (\d+): (.*)`).FindStringSubmatch(message); m != nil {
		p.Message = m[2]
		if line, err := strconv.Atoi(m[1]); err == nil {
			p.Line = line
		}
	}
	if strings.Contains(message, "cannot start any token") {
		p.Remedy = "indent with spaces, not tabs, and quote values that begin with @ or `"
	}
	p.Message = "invalid YAML: " + p.Message
	return p
}

// resolvePaths makes the paths in the inventory absolute: relative ones are
// relative to the inventory's directory, ~ is the home directory.
func (v *validator) resolvePaths(dir string) {
	v.resolve("artifacts.bundle", &v.c.Artifacts.Bundle, dir)
	v.resolve("artifacts.caFile", &v.c.Artifacts.CAFile, dir)
	for i := range v.c.Containerd.Mirrors {
		v.resolve(item("containerd.mirrors", i)+".caFile", &v.c.Containerd.Mirrors[i].CAFile, dir)
	}
	v.resolve("artifacts.catalogue", &v.c.Artifacts.Catalogue, dir)
	v.resolveSSH("ssh", &v.c.SSH, dir)
	server := &v.c.ControlPlane.APIServer
	v.resolve("controlPlane.apiServer.auditPolicyFile", &server.AuditPolicyFile, dir)
	v.resolve("controlPlane.apiServer.encryptionConfigurationFile", &server.EncryptionConfigurationFile, dir)
	v.resolve("controlPlane.apiServer.admissionConfigurationFile", &server.AdmissionConfigurationFile, dir)
	v.resolve("etcd.external.caFile", &v.c.Etcd.External.CAFile, dir)
	v.resolve("etcd.external.certFile", &v.c.Etcd.External.CertFile, dir)
	v.resolve("etcd.external.keyFile", &v.c.Etcd.External.KeyFile, dir)
	for i := range v.c.Addons {
		a, at := &v.c.Addons[i], item("addons", i)
		v.resolve(at+".chart.path", &a.Chart.Path, dir)
		for j := range a.Manifests {
			v.resolve(item(at+".manifests", j)+".path", &a.Manifests[j].Path, dir)
		}
	}
	for i := range v.c.Hosts {
		v.resolveSSH(item("hosts", i)+".ssh", &v.c.Hosts[i].SSH, dir)
	}
}

func (v *validator) resolveSSH(at string, s *SSH, dir string) {
	v.resolve(at+".identityFile", &s.IdentityFile, dir)
	v.resolve(at+".knownHostsFile", &s.KnownHostsFile, dir)
}

func (v *validator) resolve(at string, path *string, dir string) {
	switch rest, isHome := strings.CutPrefix(*path, "~"); {
	case *path == "" || filepath.IsAbs(*path):
	case isHome && (rest == "" || rest[0] == '/'):
		home, err := os.UserHomeDir()
		if err != nil {
			v.report(at, "write an absolute path", "unknown home directory: %s", err)
			return
		}
		*path = filepath.Join(home, rest)
	case isHome:
		v.report(at, "write an absolute path", "~user is not supported")
	default:
		whole, err := filepath.Abs(filepath.Join(dir, *path))
		if err != nil {
			v.report(at, "write an absolute path", "unknown working directory: %s", err)
			return
		}
		*path = whole
	}
}
