package validatetmpl

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

var data = Data{
	Namespace: "slipway-validate-abcdefgh", Name: "slipway-probe", Container: "agnhost",
	Image:    "registry.k8s.io/e2e-test-images/agnhost:2.63.0",
	HTTPPort: 8080, UDPPort: 8081, ServicePort: 80,
}

func TestManifestsMatchTheirGoldenFiles(t *testing.T) {
	t.Parallel()
	for name, render := range map[string]func(Data) ([]byte, error){"namespace.yaml": Namespace, "probe.yaml": Probe} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := render(data)
			if err != nil {
				t.Fatal(err)
			}
			matchGolden(t, name, got)
		})
	}
}

func TestWorkloadsMatchTheirGoldenFiles(t *testing.T) {
	t.Parallel()
	base := Workload{
		Namespace: data.Namespace, Name: "probe", Container: data.Container, Image: data.Image, Class: "local-path",
		Claim: "probe", Avoid: "node-1", Replicas: 2, Version: "v1", Target: "slipway-probe",
		Host: "slipway-validate.test", Path: "/hostname", Certificate: "Y2VydGlmaWNhdGU=", Key: "a2V5", Label: "slipway.io/policy-allows",
		HTTPPort: 8080, ServicePort: 80,
	}
	anywhere, byDefault := base, base
	anywhere.Avoid, byDefault.Class = "", ""
	for golden, test := range map[string]struct {
		template string
		data     Workload
	}{
		"claim.yaml":                 {"claim", base},
		"volume-pod.yaml":            {"volume-pod", base},
		"volume-pod-anywhere.yaml":   {"volume-pod", anywhere},
		"stateful-set.yaml":          {"stateful-set", base},
		"rollout.yaml":               {"rollout", base},
		"autoscaler.yaml":            {"autoscaler", base},
		"load-balancer.yaml":         {"load-balancer", base},
		"ingress.yaml":               {"ingress", base},
		"ingress-default-class.yaml": {"ingress", byDefault},
		"policy.yaml":                {"policy", base},
	} {
		t.Run(golden, func(t *testing.T) {
			t.Parallel()
			got, err := Render(test.template, test.data)
			if err != nil {
				t.Fatal(err)
			}
			matchGolden(t, golden, got)
		})
	}
}

func matchGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	golden := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestAnUnknownTemplateIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := render("no.yaml.tmpl", data); err == nil {
		t.Error("no error")
	}
}
