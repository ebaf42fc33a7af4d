package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Load reads an inventory, fills in the defaults and validates it. What is
// wrong with its content is one *Invalid with all mistakes.
func Load(path string) (*Cluster, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read inventory: %w", err)
	}
	return Parse(path, data)
}

// Parse is Load for an inventory that was read already. Its name is that of
// the file: messages carry it, and relative paths in the inventory are
// relative to its folder. All paths come back absolute.
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
	return c, nil
}

// Validate reports every mistake of a Cluster that was not parsed from a file,
// as an *Invalid without lines. SetDefaults comes first.
func (c *Cluster) Validate() error {
	v := validator{c: c}
	v.all()
	return invalid("", v.problems, nil)
}

// document is the one document that an inventory holds.
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
				Remedy: "`slipway init` writes one to start from",
			}
		case err != nil:
			return nil, syntaxProblem(err)
		}
		// What follows a last "---" and is empty is no document.
		content := n.Content[0]
		if content.ShortTag() == "!!null" {
			continue
		}
		if root != nil {
			return nil, &Problem{
				Line: content.Line, Column: content.Column, Message: "a second document begins here",
				Remedy: "an inventory is one document: remove the ---, or make it a file of its own",
			}
		}
		root = content
	}
}

// syntaxProblem takes the line from the message of the YAML parser, which has
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
	p.Message = "is not YAML: " + p.Message
	return p
}

// resolvePaths makes the paths in the inventory usable from where the
// installer runs, that is absolute: relative ones are relative to the
// inventory's folder, ~ is the home directory.
func (v *validator) resolvePaths(dir string) {
	v.resolve("artifacts.bundle", &v.c.Artifacts.Bundle, dir)
	v.resolveSSH("ssh", &v.c.SSH, dir)
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
			v.report(at, "write the whole path", "~ is unknown: %s", err)
			return
		}
		*path = filepath.Join(home, rest)
	case isHome:
		v.report(at, "write the whole path; ~/ is your own home directory", "another user's home directory is not looked up")
	default:
		// Absolute, so that it does not matter who else resolves it, and where.
		whole, err := filepath.Abs(filepath.Join(dir, *path))
		if err != nil {
			v.report(at, "write the whole path", "the current folder is unknown: %s", err)
			return
		}
		*path = whole
	}
}
