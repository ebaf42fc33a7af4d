//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// kubectl runs the bundle's kubectl with the output of slipway kubeconfig.
func (s *scenario) kubectl(ctx context.Context, t *testing.T, args ...string) (string, error) {
	t.Helper()
	if s.remote != "" {
		words := make([]string, 0, len(args))
		for _, arg := range args {
			words = append(words, "'"+arg+"'")
		}
		return s.ssh(ctx, s.remote, "/usr/local/bin/kubectl --kubeconfig /etc/kubernetes/admin.conf "+strings.Join(words, " "))
	}
	conf := s.slipway.run(ctx, t, s.kubeconfig()...)
	if conf.code != 0 {
		return "", fmt.Errorf("%s", conf)
	}
	path := filepath.Join(s.scratch, "admin.conf")
	write(t, path, conf.stdout)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	program := filepath.Join(s.bundle, s.bundled(t, "kubectl"))
	cmd := exec.CommandContext(ctx, program, append([]string{"--kubeconfig", path, "--request-timeout=10s"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// kubeconfig returns the arguments that print the kubeconfig.
func (s *scenario) kubeconfig() []string {
	if s.server == "" {
		return s.on("kubeconfig")
	}
	return s.on("kubeconfig", "--server", s.server)
}

// node is the status of a Node.
type node struct{ ready, version string }

func (s *scenario) nodes(ctx context.Context, t *testing.T) map[string]node {
	t.Helper()
	out, err := s.kubectl(ctx, t, "get", "nodes", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Items []struct {
			Metadata struct{ Name string }
			Status   struct {
				Conditions []struct{ Type, Status string }
				NodeInfo   struct{ KubeletVersion string }
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	nodes := map[string]node{}
	for _, item := range list.Items {
		n := node{version: item.Status.NodeInfo.KubeletVersion}
		for _, c := range item.Status.Conditions {
			if c.Type == "Ready" {
				n.ready = c.Status
			}
		}
		nodes[item.Metadata.Name] = n
	}
	return nodes
}

// version returns the Kubernetes version of the bundle.
func (s *scenario) version(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(s.bundle, "bundle.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct{ Kubernetes string }
	if err := yaml.Unmarshal(content, &manifest); err != nil {
		t.Fatal(err)
	}
	if want := cmp.Or(os.Getenv("SLIPWAY_E2E_VERSION"), "v1.36."); !strings.HasPrefix(manifest.Kubernetes, want) {
		t.Fatalf("the bundle has Kubernetes %s, want %s", manifest.Kubernetes, want)
	}
	return manifest.Kubernetes
}
