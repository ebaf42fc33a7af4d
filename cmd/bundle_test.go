package cmd

import (
	"encoding/json"
	"strings"
	"testing"

	"slipway.io/slipway/provision/workflow/workflowtest"
)

func TestADirectoryThatIsNotABundleIsRefused(t *testing.T) {
	home := alone(t)
	write(t, home+"/inventory.yaml", single+"artifacts: {bundle: none}\n")
	if _, complaints, code := slipway(t, "apply"); code != exitBundle || !strings.Contains(complaints, home+"/none") {
		t.Errorf("exit code %d, %q", code, complaints)
	}
	for _, command := range []string{"verify", "list"} {
		if _, _, code := slipway(t, "bundle", command, "none"); code != exitBundle {
			t.Errorf("bundle %s: exit code %d", command, code)
		}
	}
}

func TestBundleVerifyAndList(t *testing.T) {
	alone(t)
	b := workflowtest.NewBundle(t)
	out, _, code := slipway(t, "bundle", "verify", b.Dir())
	if code != 0 || !strings.Contains(out, "9 files and 5 images") {
		t.Errorf("exit code %d, %q", code, out)
	}
	out, _, code = slipway(t, "bundle", "list", b.Dir(), "-o", "json")
	var listed struct{ Kubernetes string }
	if err := json.Unmarshal([]byte(out), &listed); err != nil || code != 0 || listed.Kubernetes != workflowtest.Kubernetes {
		t.Errorf("exit code %d, %v, %q", code, err, out)
	}
	out, _, code = slipway(t, "bundle", "list", b.Dir())
	if code != 0 || !strings.Contains(out, "cni/bridge") || !strings.Contains(out, workflowtest.PauseImage) {
		t.Errorf("exit code %d, %q", code, out)
	}
	file, err := b.File("kubelet", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	write(t, b.Path(file), "damaged")
	if _, complaints, code := slipway(t, "bundle", "verify", b.Dir()); code != exitBundle || !strings.Contains(complaints, "kubelet") {
		t.Errorf("damaged: exit code %d, %q", code, complaints)
	}
}
