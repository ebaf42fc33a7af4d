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

func TestManifestsAreAsInTheirGoldenFiles(t *testing.T) {
	t.Parallel()
	for name, render := range map[string]func(Data) ([]byte, error){"namespace.yaml": Namespace, "probe.yaml": Probe} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := render(data)
			if err != nil {
				t.Fatal(err)
			}
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
		})
	}
}

func TestAnUnknownTemplateIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := render("no.yaml.tmpl", data); err == nil {
		t.Error("no error")
	}
}
