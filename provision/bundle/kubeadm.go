package bundle

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
)

// kubeadmTags returns the tags of the images that kubeadm needs beside those of Kubernetes itself, by repository. source
// is cmd/kubeadm/app/constants/constants.go of that version: "kubeadm config images list" prints what stands there, but
// needs a Linux computer with the architecture of the hosts.
func kubeadmTags(source []byte, kubernetes string) (map[string]string, error) {
	v, err := version.ParseSemantic(kubernetes)
	if err != nil {
		return nil, err
	}
	file, err := parser.ParseFile(token.NewFileSet(), "constants.go", source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	values := declared(file)
	etcd, err := etcdTag(values["SupportedEtcdVersion"], int(v.Minor()))
	if err != nil {
		return nil, err
	}
	tags := map[string]string{"registry.k8s.io/etcd": etcd}
	for repository, constant := range map[string]string{
		"registry.k8s.io/coredns/coredns": "CoreDNSVersion",
		"registry.k8s.io/pause":           "PauseVersion",
	} {
		if tags[repository], err = tagOf(values[constant]); err != nil {
			return nil, fmt.Errorf("%s: %w", constant, err)
		}
	}
	return tags, nil
}

// declared returns the values of the constants and variables of a file.
func declared(file *ast.File) map[string]ast.Expr {
	values := map[string]ast.Expr{}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			for i, name := range spec.Names {
				if i < len(spec.Values) {
					values[name.Name] = spec.Values[i]
				}
			}
		}
		return true
	})
	return values
}

// etcdTag looks up the minor version in SupportedEtcdVersion, as kubeadm's EtcdSupportedVersion does: outside of the map,
// the nearest entry counts.
func etcdTag(supported ast.Expr, minor int) (string, error) {
	literal, ok := supported.(*ast.CompositeLit)
	if !ok {
		return "", errors.New("SupportedEtcdVersion: not a map")
	}
	tags := map[int]string{}
	lowest, highest := minor, minor
	for _, element := range literal.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		if !ok {
			return "", errors.New("SupportedEtcdVersion: not a map")
		}
		key, err := minorKey(pair.Key, minor)
		if err != nil {
			return "", fmt.Errorf("SupportedEtcdVersion: %w", err)
		}
		if tags[key], err = tagOf(pair.Value); err != nil {
			return "", fmt.Errorf("SupportedEtcdVersion: %w", err)
		}
		if len(tags) == 1 {
			lowest, highest = key, key
		}
		lowest, highest = min(lowest, key), max(highest, key)
	}
	if tag := tags[min(max(minor, lowest), highest)]; tag != "" {
		return tag, nil
	}
	return "", fmt.Errorf("SupportedEtcdVersion has no etcd for 1.%d", minor)
}

// minorKey reads a key of SupportedEtcdVersion: a number, or uint8(getSkewedKubernetesVersion(-1).Minor()), which is
// relative to the version of kubeadm.
func minorKey(key ast.Expr, minor int) (int, error) {
	if n, ok := integer(key); ok {
		return n, nil
	}
	found := -1
	ast.Inspect(key, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) != 1 {
			return true
		}
		if name, ok := call.Fun.(*ast.Ident); ok && name.Name == "getSkewedKubernetesVersion" {
			if skew, ok := integer(call.Args[0]); ok {
				found = minor + skew
			}
		}
		return true
	})
	if found < 0 {
		return 0, errors.New("a key is not a minor version")
	}
	return found, nil
}

// integer evaluates 36 and -1.
func integer(e ast.Expr) (int, bool) {
	sign := 1
	if unary, ok := e.(*ast.UnaryExpr); ok && unary.Op == token.SUB {
		sign, e = -1, unary.X
	}
	literal, ok := e.(*ast.BasicLit)
	if !ok || literal.Kind != token.INT {
		return 0, false
	}
	n, err := strconv.Atoi(literal.Value)
	return sign * n, err == nil
}

// tagOf evaluates a string that can be the tag of an image.
func tagOf(e ast.Expr) (string, error) {
	literal, ok := e.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", errors.New("not a string")
	}
	s, err := strconv.Unquote(literal.Value)
	if err != nil || s == "" || strings.ContainsAny(s, " /:@") {
		return "", fmt.Errorf("%s is not the tag of an image", literal.Value)
	}
	return s, nil
}
