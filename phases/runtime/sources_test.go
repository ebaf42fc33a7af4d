package runtime

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/pelletier/go-toml/v2"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/sources"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const proxied = one + "proxy: {httpProxy: 'http://p.example:3128', noProxy: [.example]}\n"

// withProxy are the files that containerd reads when it starts with a proxy.
var withProxy = append(slices.Clone(readFiles), proxyFile, proxyDropIn)

func login(user, password string) sources.Credentials {
	return sources.Credentials{Env: func(name string) string {
		return map[string]string{sources.UsernameVariable: user, sources.PasswordVariable: password}[name]
	}}
}

func TestContainerdGetsTheProxy(t *testing.T) {
	t.Parallel()
	fixture, fake := installed(t, one)
	fixture.Cluster = workflowtest.New(t, proxied).Cluster
	want := []string{"write " + proxyFile, "write " + proxyDropIn, "run restart containerd.service: " + proxyFile + ", " + proxyDropIn + " changed"}
	fake.ExpectService(service, withProxy...).Times(2)
	dumpOf(t, fake)
	fixture.MustPlan(Containerd())
	if diff := cmp.Diff(want, fixture.Changes()); diff != "" {
		t.Errorf("plan: %s", diff)
	}
	fake.ExpectStart("restart containerd.service: "+proxyFile+", "+proxyDropIn+" changed", service, withProxy...)
	dumpOf(t, fake)
	fixture.MustApply(Containerd())
	if diff := cmp.Diff(want, fixture.Changes()); diff != "" {
		t.Errorf("apply: %s", diff)
	}
	file, _ := fake.File(proxyFile)
	const content = `# Written by slipway; changes are overwritten.
HTTP_PROXY='http://p.example:3128'
HTTPS_PROXY='http://p.example:3128'
NO_PROXY='localhost,127.0.0.0/8,192.0.2.11,10.244.0.0/16,10.96.0.0/12,.svc,.cluster.local,.example'
`
	if diff := cmp.Diff(content, string(file.Content)); diff != "" || file.Mode != 0o600 {
		t.Errorf("mode %o: %s", file.Mode, diff)
	}
	dropIn, _ := fake.File(proxyDropIn)
	if !strings.Contains(string(dropIn.Content), "EnvironmentFile=-"+proxyFile) {
		t.Errorf("got %s", dropIn.Content)
	}

	// Nothing restarts without a difference.
	fake.ExpectService(service, withProxy...)
	dumpOf(t, fake)
	fixture.MustApply(Containerd())
	if got := fixture.Changes(); len(got) > 0 {
		t.Errorf("got %q", got)
	}
}

func TestContainerdLosesTheProxyThatTheInventoryNoLongerHas(t *testing.T) {
	t.Parallel()
	fixture, fake := installed(t, one)
	fixture.Facts("cp-1").Existing = []facts.Path{facts.ContainerdProxy}
	read := append(slices.Clone(readFiles), proxyDropIn, proxyFile)
	restart := "restart containerd.service: " + proxyFile + ", " + proxyDropIn + " changed"
	want := []string{
		"run rm -f " + proxyDropIn + " " + proxyFile,
		"run rmdir --ignore-fail-on-non-empty /etc/systemd/system/containerd.service.d", "run " + restart,
	}
	apply := func(phase workflow.Phase) {
		fake.ExpectRun("rm", "-f", proxyDropIn, proxyFile)
		fake.ExpectRun("rmdir", "--ignore-fail-on-non-empty", "/etc/systemd/system/containerd.service.d")
		fake.ExpectStart(restart, service, read...)
		fixture.MustApply(phase)
	}
	for _, run := range []func(workflow.Phase){fixture.MustPlan, apply} {
		fake.ExpectService(service, read...)
		dumpOf(t, fake)
		run(Containerd())
		if diff := cmp.Diff(want, fixture.Changes()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestCredentialsAreInFilesOfRootAndNowhereElse(t *testing.T) {
	t.Parallel()
	fixture, fake := withBundle(t, proxied+"containerd: {mirrors: [{registry: docker.io, endpoints: ['https://m.example'], copyCredentials: true}]}\n")
	fixture.Credentials = login("me", "hunter2")
	fixture.Credentials.Registries = keychain{"m.example": {Username: "me", Password: "hunter3"}}
	const basic = "Basic bWU6aHVudGVyMw=="
	fake.ExpectService(service, withProxy...).Returns("disabled\nstopped inactive\n").Times(2)
	fixture.MustPlan(Containerd())
	planned := fixture.Events.Events()
	fake.ExpectStart("start containerd.service: it is inactive", service, withProxy...)
	dumpOf(t, fake)
	fixture.MustApply(Containerd())
	for path, secret := range map[string]string{proxyFile: "http://me:hunter2@p.example:3128", certsDir + "/docker.io/hosts.toml": basic} {
		file, _ := fake.File(path)
		if file.Mode != 0o600 || !file.Secret || !strings.Contains(string(file.Content), secret) {
			t.Errorf("%s: mode %o, secret %v:\n%s", path, file.Mode, file.Secret, file.Content)
		}
	}
	hasSecret := func(s string) bool {
		return strings.Contains(s, "hunter") || strings.Contains(s, strings.TrimPrefix(basic, "Basic "))
	}
	for _, e := range append(planned, fixture.Events.Events()...) {
		if hasSecret(e.Message + e.Diff + e.Error) {
			t.Errorf("an event has a secret: %+v", e)
		}
		if e.Kind == report.Change && strings.HasPrefix(e.Message, "write ") && e.Diff == "" && slices.ContainsFunc(planned, func(p report.Event) bool { return p == e }) {
			t.Errorf("%s has no diff", e.Message)
		}
	}
	for _, entry := range fixture.Recorded("cp-1") {
		if hasSecret(entry) {
			t.Errorf("the journal has a secret: %s", entry)
		}
	}
}

type keychain map[string]authn.AuthConfig

func (k keychain) Resolve(r authn.Resource) (authn.Authenticator, error) {
	if login, found := k[r.RegistryStr()]; found {
		return authn.FromConfig(login), nil
	}
	return authn.Anonymous, nil
}

func TestThePathOfAMirrorIsTheRootOfTheAPIBelowV2(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]bool{
		"https://m.example":            false,
		"https://m.example/v2":         false,
		"https://m.example/v2/":        false,
		"https://m.example/hub":        false,
		"https://m.example/api/hub/v2": false,
		"https://m.example/v2/hub":     true,
		"https://m.example/v2/hub/":    true,
		"https://m.example/api/v2/hub": true,
	} {
		files, err := mirrorFiles(t.Context(), []config.Mirror{{Registry: "docker.io", Endpoints: []string{endpoint}}}, sources.Credentials{})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(files[0].Content), "\noverride_path = true\n"); got != want {
			t.Errorf("%s: override_path is %t", endpoint, got)
		}
	}
}

func TestMirrorsHaveTheirCAAndCredentials(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	credentials := sources.Credentials{Registries: keychain{"a.example": {Username: "me", Password: "pw"}}}
	files, err := mirrorFiles(t.Context(), []config.Mirror{
		{Registry: "docker.io", Endpoints: []string{"https://a.example", "http://b.example"}, CAFile: ca},
		{Registry: "quay.io", Endpoints: []string{"https://a.example"}, CopyCredentials: true, SkipVerify: true, CAFile: ca},
	}, credentials)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 3 || files[0].Path != "/etc/containerd/certs.d/docker.io/ca.pem" || string(files[0].Content) != string(certificate) {
		t.Fatalf("got %v", files)
	}
	type endpoint struct {
		CA         string              `toml:"ca"`
		SkipVerify bool                `toml:"skip_verify"`
		Header     map[string]string   `toml:"header"`
		Rest       map[string][]string `toml:"-"`
	}
	var docker, quay struct {
		Host map[string]endpoint `toml:"host"`
	}
	for content, into := range map[string]any{string(files[1].Content): &docker, string(files[2].Content): &quay} {
		if err := toml.Unmarshal([]byte(content), into); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(map[string]endpoint{"https://a.example": {CA: files[0].Path}, "http://b.example": {}}, docker.Host); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]endpoint{"https://a.example": {SkipVerify: true, Header: map[string]string{"Authorization": "Basic bWU6cHc="}}}, quay.Host); diff != "" {
		t.Error(diff)
	}
	_, err = mirrorFiles(t.Context(), []config.Mirror{{Registry: "x", Endpoints: []string{"https://other.example"}, CopyCredentials: true}}, credentials)
	if err == nil || !strings.Contains(err.Error(), "no credentials of other.example") {
		t.Errorf("got %v", err)
	}
}
