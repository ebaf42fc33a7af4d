//go:build e2e

package e2e

import (
	"context"
	"debug/elf"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/net/dns/dnsmessage"
	kyaml "sigs.k8s.io/yaml"

	"slipway.io/slipway/e2e/standin"
	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/sources"
)

const (
	// nameserver gets the queries of runs that do not use the proxy.
	nameserver = "127.66.0.1"
	// patchRelease is not in the catalogue.
	patchRelease = "v1.36.99"
	// wantedPause is that of an answer 429, in seconds.
	wantedPause = 4
	// stalledAfter is the size of the part that comes before a stall that does not end.
	stalledAfter = 300_000
	// serverStall is how long slipway waits for a server that sends nothing.
	serverStall = time.Minute
)

// rehearsal is the state of TestRehearsal.
type rehearsal struct {
	*scenario
	// whole is the test of all steps.
	whole     *testing.T
	server    *standin.Server
	catalogue bundle.Catalogue
	// program is one for arm64: a bundle from source has none.
	program []byte
	dir     string
	// inventory is for commands that connect to no host.
	inventory string
	// stalled is the result of a run against a server that stalls for good.
	stalled chan stalledRun

	mu      sync.Mutex
	queries []string
}

// TestRehearsal creates bundles and a cluster in a company network: the release servers
// and registries are there by their names, behind a proxy that demands credentials and
// with certificates of another CA. They stall, reset connections, truncate answers, and
// answer 429 and 503. Nothing asks any other server.
func TestRehearsal(t *testing.T) {
	r := &rehearsal{scenario: newScenario(t), whole: t, stalled: make(chan stalledRun, 1)}
	r.runSteps(t, []step{
		r.step("servers stand in for those of the catalogue", r.serversComeUp, true),
		r.step("a bundle for two architectures is created through faults", r.createsThroughFaults, true),
		r.step("a second bundle comes from the cache", r.comesFromCache, false),
		r.step("clear errors without the credentials or the CA", r.refusals, false),
		r.step("a run that does not use the proxy is noticed", r.direct, false),
		r.step("a patch release that is not listed is pinned", r.pins, false),
		r.step("a machine comes up", r.machineComesUp, true),
		r.step("apply downloads a bundle and creates a cluster", r.applies, true),
		r.step("containerd pulls from a mirror through the proxy", r.pulls, false),
		r.step("no secret is in the journal, processes and logs", r.keepsSecrets, false),
		r.step("a second apply changes nothing", r.changesNothing, false),
		r.step("reset deletes the proxy and the mirrors", r.resets, false),
		r.step("a stall that does not end is an error, and the rerun resumes", r.stalls, false),
	})
	r.nothingElse(t)
}

func (r *rehearsal) step(name string, do func(context.Context, *testing.T), required bool) step {
	return step{name, func(_ *scenario, ctx context.Context, t *testing.T) { do(ctx, t) }, required}
}

// nothingElse checks that no server but those of the stand-in was asked.
func (r *rehearsal) nothingElse(t *testing.T) {
	t.Helper()
	for _, stray := range r.server.Strays() {
		t.Errorf("a request that should not be: %s", stray)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, query := range r.queries {
		t.Errorf("a name was looked up instead of using the proxy: %s", query)
	}
}

func (r *rehearsal) serversComeUp(ctx context.Context, t *testing.T) {
	r.dir = filepath.Join(r.scratch, "rehearsal")
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r.program = r.buildProgram(ctx, t)
	r.listenForQueries(ctx, t)
	r.server, r.catalogue = r.standIn(t)
	text, err := yaml.Marshal(r.catalogue)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"catalogue.yaml": string(text), "hosts": "127.0.0.1 localhost\n",
		"resolv.conf": "nameserver " + nameserver + "\noptions timeout:1 attempts:1\n",
		"config.json": dockerConfig(t, r.server),
	} {
		write(t, filepath.Join(r.dir, name), content)
	}
	r.inventory = r.writeInventory(ctx, t, r.server, "lab")
	r.startStalled(ctx, t)
}

// standIn starts the servers, with the content of the bundle.
func (r *rehearsal) standIn(t *testing.T) (*standin.Server, bundle.Catalogue) {
	t.Helper()
	server, err := standin.New()
	if err != nil {
		t.Fatal(err)
	}
	r.whole.Cleanup(func() { _ = server.Close() })
	source, err := bundle.Open(r.bundle)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(r.dir, "archives-")
	if err != nil {
		t.Fatal(err)
	}
	catalogue, err := server.Publish(source, r.program, dir)
	if err != nil {
		t.Fatal(err)
	}
	return server, catalogue
}

// buildProgram builds a program for arm64.
func (r *rehearsal) buildProgram(ctx context.Context, t *testing.T) []byte {
	t.Helper()
	source, program := filepath.Join(r.dir, "main.go"), filepath.Join(r.dir, "program")
	write(t, source, "package main\n\nfunc main() { println(\"arm64\") }\n")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, source)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+standin.Other, "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// listenForQueries records all queries of the name server that runs of slipway have.
func (r *rehearsal) listenForQueries(ctx context.Context, t *testing.T) {
	t.Helper()
	conn, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", nameserver+":53")
	if err != nil {
		t.Fatal(err)
	}
	r.whole.Cleanup(func() { _ = conn.Close() })
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:n]) != nil || len(m.Questions) == 0 {
				continue
			}
			r.mu.Lock()
			r.queries = append(r.queries, m.Questions[0].Name.String())
			r.mu.Unlock()
			m.Header.Response, m.Header.RCode, m.Additionals = true, dnsmessage.RCodeNameError, nil
			if answer, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
}

// dockerConfig is Docker's configuration with the credentials of the mirror.
func dockerConfig(t *testing.T, server *standin.Server) string {
	t.Helper()
	login := base64.StdEncoding.EncodeToString([]byte(server.MirrorUsername + ":" + server.MirrorPassword))
	text, err := json.Marshal(object{"auths": object{standin.Mirror: object{"auth": login}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// company is the part of an inventory about the network.
func (r *rehearsal) company(t *testing.T, server *standin.Server, proxy, name string) (section, artifacts object) {
	t.Helper()
	ca := filepath.Join(r.dir, name+".pem")
	write(t, ca, string(server.CA()))
	return object{"httpProxy": "http://" + proxy}, object{
		"caFile": ca, "catalogue": filepath.Join(r.dir, "catalogue.yaml"),
		"registries": object{"quay.io": standin.Mirror + "/quay.io"},
	}
}

// writeInventory writes an inventory with all addons of the bundle.
func (r *rehearsal) writeInventory(ctx context.Context, t *testing.T, server *standin.Server, name string) string {
	t.Helper()
	address, err := server.Proxy(ctx, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	proxy, artifacts := r.company(t, server, address, name)
	dir := filepath.Join(r.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "lab.yaml")
	write(t, path, marshal(t, object{
		"apiVersion": "slipway.io/v1alpha1", "kind": "Cluster",
		"kubernetes": object{"version": r.version(t)},
		"hosts":      []any{object{"name": "cp1", "address": "192.0.2.11", "roles": []any{"control-plane"}}},
		"proxy":      proxy, "artifacts": artifacts,
		"addons": []any{
			object{"name": "local-path"},
			object{"name": "traefik"},
			object{"name": "metrics-server"},
			object{"name": "metallb", "addresses": []any{"192.0.2.100-192.0.2.110"}},
		},
	}))
	return path
}

// behindProxy is slipway on a computer without a name server, with the credentials of the
// proxy and the mirror, and a cache of its own.
func (r *rehearsal) behindProxy(t *testing.T, cache, username, password string) binary {
	t.Helper()
	script, err := filepath.Abs("testdata/rehearsal.sh")
	if err != nil {
		t.Fatal(err)
	}
	b := r.slipway
	b.env = slices.DeleteFunc(slices.Clone(b.env), func(v string) bool {
		return strings.Contains(strings.ToUpper(v), "_PROXY=")
	})
	b.env = append(b.env, "XDG_CACHE_HOME="+filepath.Join(r.dir, cache), "DOCKER_CONFIG="+r.dir)
	if username != "" {
		b.env = append(b.env, sources.UsernameVariable+"="+username, sources.PasswordVariable+"="+password)
	}
	b.wrapper = []string{"unshare", "--mount", "sh", script, r.dir}
	return b
}

// run runs slipway behind the proxy, and checks that its output has no secret.
func (r *rehearsal) run(ctx context.Context, t *testing.T, cache string, args ...string) result {
	t.Helper()
	result := r.behindProxy(t, cache, r.server.Username, r.server.Password).run(ctx, t, args...)
	r.noSecret(t, "the output of slipway "+args[0], result.stdout+result.stderr)
	return result
}

func (r *rehearsal) mustRun(ctx context.Context, t *testing.T, cache string, args ...string) result {
	t.Helper()
	result := r.run(ctx, t, cache, args...)
	if result.code != 0 {
		t.Fatal(result)
	}
	return result
}

// secrets are the passwords of the proxy and the mirror, in each form.
func (r *rehearsal) secrets() []string {
	encoded := func(name, password string) []string {
		_, escaped, _ := strings.Cut(url.UserPassword(name, password).String(), ":")
		return []string{password, escaped, base64.StdEncoding.EncodeToString([]byte(name + ":" + password))}
	}
	return append(encoded(r.server.Username, r.server.Password), encoded(r.server.MirrorUsername, r.server.MirrorPassword)...)
}

func (r *rehearsal) noSecret(t *testing.T, where, text string) {
	t.Helper()
	for _, secret := range append(r.secrets(), "rehearsal-secret") { // the latter is in redirects
		if strings.Contains(text, secret) {
			t.Errorf("%s has a secret, %q", where, secret)
		}
	}
}

// at returns the URL of a component's file without its scheme.
func (r *rehearsal) at(t *testing.T, component, arch string) string {
	t.Helper()
	c, err := r.catalogue.Component(component)
	if err != nil {
		t.Fatal(err)
	}
	version := strings.TrimPrefix(r.catalogue.Releases[0].Components[component], "v")
	return strings.NewReplacer("https://", "", "{version}", version, "{arch}", arch).Replace(c.URL)
}

// largestLayer returns the digest of the largest layer of an image.
func (r *rehearsal) largestLayer(t *testing.T, image string) string {
	t.Helper()
	source, err := bundle.Open(r.bundle)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range source.Manifest().Images {
		if !strings.HasPrefix(i.Name, image+":") {
			continue
		}
		content, err := os.ReadFile(filepath.Join(r.bundle, "images/blobs", strings.Replace(i.Digest, ":", "/", 1)))
		if err != nil {
			t.Fatal(err)
		}
		var manifest struct {
			Layers []struct {
				Digest string
				Size   int64
			}
		}
		if err := json.Unmarshal(content, &manifest); err != nil {
			t.Fatal(err)
		}
		layers := manifest.Layers
		slices.SortFunc(layers, func(a, b struct {
			Digest string
			Size   int64
		},
		) int {
			return int(b.Size - a.Size)
		})
		return layers[0].Digest
	}
	t.Fatalf("%s is not in the bundle", image)
	return ""
}

// manifestOf returns the URL, without its scheme, of an image's manifest for amd64.
func (r *rehearsal) manifestOf(t *testing.T, repository string) string {
	t.Helper()
	for _, image := range r.catalogue.Releases[0].Images {
		if strings.HasPrefix(image.Name, repository+":") {
			host, name, _ := strings.Cut(repository, "/")
			return host + "/v2/" + name + "/manifests/" + image.Digests[bundle.DefaultArch]
		}
	}
	t.Fatalf("%s is not in the catalogue", repository)
	return ""
}

const (
	githubObjects = "release-assets.githubusercontent.com/"
	k8sObjects    = "prod-registry-k8s-io-us-east-1.s3.dualstack.us-east-1.amazonaws.com"
)

// faults are those of the first bundle, and what slipway says of each.
func (r *rehearsal) faults(t *testing.T) map[standin.Fault]string {
	t.Helper()
	arch := bundle.DefaultArch
	return map[standin.Fault]string{
		{URL: r.at(t, "kubelet", arch), Kind: standin.Stall, After: 20e6, Times: 1}:                                                                   "timed out: no data for 1m0s (after 20.0 MB of ",
		{URL: r.at(t, "kubeadm", arch), Kind: standin.Reset, After: 30e6, Times: 2}:                                                                   "connection reset by peer (after ",
		{URL: r.at(t, "kubectl", arch), Kind: standin.Status, Code: 503, Times: 2}:                                                                    "503 Service Unavailable",
		{URL: r.at(t, "runc", arch), Kind: standin.Status, Code: 429, RetryAfter: wantedPause, Times: 1}:                                              "429 Too Many Requests: the server wants a pause of 4s",
		{URL: githubObjects + r.at(t, "containerd", arch), Kind: standin.Truncate, After: 10e6, Times: 1}:                                             "the connection was closed before the end of the file (after 10.0 MB of ",
		{URL: r.at(t, "kubelet", standin.Other), Kind: standin.Truncate, After: 500e3, Times: 1}:                                                      "the connection was closed before the end of the file (after 500000 bytes of ",
		{URL: k8sObjects + "/blobs/" + r.largestLayer(t, "registry.k8s.io/etcd"), Kind: standin.Reset, After: 5e6, Times: 1}:                          "connection reset by peer (after ",
		{URL: "ghcr.io/v2/flannel-io/flannel/blobs/" + r.largestLayer(t, "ghcr.io/flannel-io/flannel"), Kind: standin.Truncate, After: 1e6, Times: 1}: "the connection was closed before the end of the file (after 1.0 MB of ",
		{URL: r.manifestOf(t, "registry.k8s.io/pause"), Kind: standin.Status, Code: 429, RetryAfter: 2, Times: 1}:                                     "429 Too Many Requests: the server wants a pause of 2s",
		{URL: "auth.docker.io/token", Kind: standin.Status, Code: 503, Times: 1}:                                                                      "503 Service Unavailable",
	}
}

var sizes = regexp.MustCompile(`(?m)^  downloading [0-9.]+ of (at least )?[0-9.]+ MB, [0-9.]+ MB/s, (at least )?\S+ left$`)

func (r *rehearsal) createsThroughFaults(ctx context.Context, t *testing.T) {
	faults := r.faults(t)
	for f := range faults {
		r.server.Inject(f)
	}
	r.server.Requests()
	dir := filepath.Join(r.dir, "bundle")
	run := r.mustRun(ctx, t, "cache", "bundle", "create", dir, "-i", r.inventory, "--catalogue", filepath.Join(r.dir, "catalogue.yaml"), "--arch", "amd64,arm64")
	r.took("bundle create through faults", run.took)
	if pending := r.server.Pending(); len(pending) > 0 {
		t.Errorf("faults that did not come: %q", pending)
	}
	requests := r.server.Requests()
	for f, says := range faults {
		if !strings.Contains(run.stderr, says) {
			t.Errorf("slipway does not say %q of the fault %+v", says, f)
		}
		r.recovered(t, f, requests)
	}
	if !sizes.MatchString(run.stderr) {
		t.Error("no line with the sizes, the rate and the time left")
	}
	if t.Failed() {
		t.Logf("%s", run)
	}
	r.mustRun(ctx, t, "cache", "bundle", "verify", dir)
	r.isFor(t, dir)
	connected, refused := r.server.Connections()
	r.figures = append(r.figures, fmt.Sprintf("  %d names, %d requests, %d connections, %d refused", len(r.server.Names()), len(requests), connected, refused))
}

// recovered checks the request after a fault: a body continues where it ended, and a pause
// is as long as the server wants.
func (r *rehearsal) recovered(t *testing.T, f standin.Fault, requests []standin.Request) {
	t.Helper()
	hurt := -1
	for i, request := range requests {
		if request.URL != f.URL || request.Method != "GET" {
			continue
		}
		if hurt >= 0 {
			pause := request.At.Sub(requests[hurt].At)
			if f.After > 0 && !regexp.MustCompile(`^bytes=[1-9]\d*-$`).MatchString(request.Range) {
				t.Errorf("the request after %+v has the range %q", f, request.Range)
			}
			if wanted := time.Duration(f.RetryAfter) * time.Second; pause < wanted {
				t.Errorf("%s between two requests of %s, want %s", pause, f.URL, wanted)
			}
			if f.Kind == standin.Stall && (pause < serverStall || pause > serverStall+15*time.Second) {
				t.Errorf("the next request of %s came after %s", f.URL, pause)
			}
		}
		if hurt = -1; request.Fault != "" {
			hurt = i
		}
	}
	if hurt >= 0 {
		t.Errorf("no request of %s after the fault", f.URL)
	}
}

// isFor checks a bundle and its lock file: programs are for the architecture of their
// directory, and everything of both is pinned.
func (r *rehearsal) isFor(t *testing.T, dir string) {
	t.Helper()
	created, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest := created.Manifest()
	for _, f := range manifest.Files {
		program, err := elf.Open(created.Path(f))
		if err != nil {
			t.Errorf("%s: %v", f.Path, err)
			continue
		}
		if want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[f.Arch]; program.Machine != want {
			t.Errorf("%s is for %s", f.Path, program.Machine)
		}
		if err := program.Close(); err != nil {
			t.Error(err)
		}
	}
	lock, err := bundle.OpenLock(bundle.LockFile(r.inventory))
	if err != nil {
		t.Fatal(err)
	}
	source, err := bundle.Open(r.bundle)
	if err != nil {
		t.Fatal(err)
	}
	// The archives of containerd and the plugins, and kubeadm, kubelet, kubectl and runc.
	if want := 2*6 + 1; len(lock.Files) != want {
		t.Errorf("%d files are pinned, want %d", len(lock.Files), want)
	}
	for _, image := range source.Manifest().Images {
		if got := lock.Images[image.Name]; got["amd64"] != image.Digest || got["arm64"] == "" {
			t.Errorf("%s is pinned as %q", image.Name, got)
		}
	}
	if got, want := len(manifest.Images), 2*len(source.Manifest().Images); got != want {
		t.Errorf("%d images, want %d", got, want)
	}
}

func (r *rehearsal) comesFromCache(ctx context.Context, t *testing.T) {
	r.server.Requests()
	dir := filepath.Join(r.dir, "again")
	run := r.mustRun(ctx, t, "cache", "bundle", "create", dir, "-i", r.inventory, "--arch", "amd64,arm64")
	r.took("bundle create from the cache", run.took)
	if strings.Contains(run.stderr, "downloaded") || !strings.Contains(run.stderr, "  cached      kubelet "+r.version(t)+" amd64\n") {
		t.Errorf("not from the cache: %s", run)
	}
	for _, request := range r.server.Requests() {
		if !strings.Contains(request.URL, "/v2/") && !strings.HasSuffix(request.URL, "/token") && !strings.Contains(request.URL, "/blobs/") {
			t.Errorf("a file was requested again: %s", request.URL)
		}
		// Manifests and configurations of images are read again.
		_, digest, isBlob := strings.Cut(request.URL, "/blobs/sha256:")
		if content, err := os.ReadFile(filepath.Join(dir, "images/blobs/sha256", digest)); isBlob && (err != nil || content[0] != '{') {
			t.Errorf("a layer was requested again: %s (%v)", request.URL, err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
}

func (r *rehearsal) refusals(ctx context.Context, t *testing.T) {
	unknown := filepath.Join(filepath.Dir(r.inventory), "unknown.yaml")
	content, err := os.ReadFile(r.inventory)
	if err != nil {
		t.Fatal(err)
	}
	write(t, unknown, regexp.MustCompile(`(?m)^ *caFile: .*\n`).ReplaceAllString(string(content), ""))
	for name, test := range map[string]struct {
		inventory, username, password string
		says                          []string
	}{
		"without credentials": {
			r.inventory, "", "",
			[]string{"demands credentials: 407 Proxy Authentication Required", "next: set " + sources.UsernameVariable + " and " + sources.PasswordVariable},
		},
		"with a wrong password": {
			r.inventory, r.server.Username, "a-wrong-password",
			[]string{"refuses the credentials: 407 Proxy Authentication Required", "next: set " + sources.UsernameVariable},
		},
		"without the CA": {
			unknown, r.server.Username, r.server.Password,
			[]string{"certificate signed by unknown authority", "next: if your network has a CA of its own, set artifacts.caFile"},
		},
	} {
		r.server.Requests()
		run := r.behindProxy(t, "cache-"+strings.ReplaceAll(name, " ", "-"), test.username, test.password).run(ctx, t,
			"bundle", "create", filepath.Join(r.dir, "refused"), "-i", test.inventory)
		r.noSecret(t, name, run.stdout+run.stderr)
		if run.code != 1 || strings.Contains(run.stderr, "a-wrong-password") || strings.Contains(run.stderr, "retrying") || run.took > 30*time.Second {
			t.Errorf("%s: %s", name, run)
		}
		for _, want := range test.says {
			if !strings.Contains(run.stderr, want) {
				t.Errorf("%s: it does not say %q: %s", name, want, run)
			}
		}
		if requests := r.server.Requests(); len(requests) > 0 {
			t.Errorf("%s: %d requests reached a server", name, len(requests))
		}
	}
}

// direct checks that a run that does not use the proxy is noticed.
func (r *rehearsal) direct(ctx context.Context, t *testing.T) {
	content, err := os.ReadFile(r.inventory)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(filepath.Dir(r.inventory), "direct.yaml")
	write(t, path, regexp.MustCompile(`(?m)^proxy:\n( .*\n)+`).ReplaceAllString(string(content), ""))
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second) // it would try again
	defer cancel()
	run := r.run(ctx, t, "cache-direct", "bundle", "create", filepath.Join(r.dir, "direct"), "-i", path)
	if !strings.Contains(run.stderr, "lookup dl.k8s.io") {
		t.Errorf("without the proxy: %s", run)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.queries, "dl.k8s.io.") {
		t.Errorf("it asked the name server only for %q", r.queries)
	}
	r.queries = nil
}

// constants is what kubeadm's constants.go says of the images of the release.
func (r *rehearsal) constants(t *testing.T) string {
	t.Helper()
	tags := map[string]string{}
	for _, image := range r.catalogue.Releases[0].Images {
		repository, tag, _ := strings.Cut(image.Name, ":")
		tags[repository] = tag
	}
	return fmt.Sprintf(`package constants

const (
	CoreDNSVersion = %q
	PauseVersion   = %q
)

var SupportedEtcdVersion = map[uint8]string{36: %q}
`, tags["registry.k8s.io/coredns/coredns"], tags["registry.k8s.io/pause"], tags["registry.k8s.io/etcd"])
}

func (r *rehearsal) pins(ctx context.Context, t *testing.T) {
	if err := r.server.PublishPatch(r.catalogue, patchRelease, r.constants(t)); err != nil {
		t.Fatal(err)
	}
	r.server.Requests()
	dir, lock := filepath.Join(r.dir, "patch"), filepath.Join(r.dir, "patch.lock.yaml")
	create := []string{"bundle", "create", dir, "-i", r.inventory, "--kubernetes", patchRelease, "--lock", lock, "--arch", "amd64,arm64"}
	r.took("bundle create of a patch release", r.mustRun(ctx, t, "cache", create...).took)
	asked := func(part string) int {
		n := 0
		for _, request := range r.server.Requests() {
			if strings.Contains(request.URL, part) {
				n++
			}
		}
		return n
	}
	if n := asked(".sha256"); n != 6 {
		t.Errorf("%d requests of published sums, want one for each of three files and two architectures", n)
	}
	pinned, err := os.ReadFile(lock)
	if err != nil {
		t.Fatal(err)
	}
	kubeadm := strings.ReplaceAll(r.at(t, "kubeadm", standin.Other), r.version(t), patchRelease)
	for _, want := range []string{"https://" + kubeadm, "kubernetes/" + patchRelease + "/cmd/kubeadm/app/constants/constants.go", "registry.k8s.io/kube-apiserver:" + patchRelease} {
		if !strings.Contains(string(pinned), want) {
			t.Errorf("%s is not pinned:\n%s", want, pinned)
		}
	}
	r.mustRun(ctx, t, "cache", create...)
	if n := asked(".sha256"); n != 0 {
		t.Errorf("%d requests of sums that are pinned", n)
	}
	sum, err := r.catalogue.Component("kubeadm")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(r.dir, "cache/slipway/artifacts/sha256", sum.SHA256[r.version(t)][standin.Other])); err != nil {
		t.Fatal(err)
	}
	r.server.Serve(kubeadm, append(slices.Clone(r.program), "replaced"...))
	run := r.run(ctx, t, "cache", create...)
	if want := "https://" + kubeadm + " is not the one that was downloaded first: " + lock + " pins sha256:"; run.code != 8 || !strings.Contains(run.stderr, want) {
		t.Errorf("it does not say %q: %s", want, run)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
}

// stalledRun is what happened with a server that stalls for good.
type stalledRun struct {
	server         *standin.Server
	inventory, url string
	result         result
	requests       []standin.Request
}

// startStalled creates a bundle from a server that stalls in the middle of a file, each time
// it is asked. It takes minutes: the other steps follow at the same time.
func (r *rehearsal) startStalled(ctx context.Context, t *testing.T) {
	t.Helper()
	server, _ := r.standIn(t)
	run := stalledRun{server: server, inventory: r.writeInventory(ctx, t, server, "stalled"), url: r.at(t, "kubectl", standin.Other)}
	server.Inject(standin.Fault{URL: run.url, Kind: standin.Stall, After: stalledAfter, Times: 1},
		standin.Fault{URL: run.url, Kind: standin.Stall, Times: standin.Always})
	b := r.behindProxy(t, "stalled-cache", server.Username, server.Password)
	r.whole.Cleanup(func() {
		for range r.stalled { // the end of the run
		}
	})
	go func() {
		defer close(r.stalled)
		run.result = b.run(ctx, r.whole, "bundle", "create", filepath.Join(r.dir, "stalled-bundle"), "-i", run.inventory, "--arch", standin.Other)
		run.requests = server.Requests()
		r.stalled <- run
	}()
}

func (r *rehearsal) stalls(ctx context.Context, t *testing.T) {
	run, ok := <-r.stalled
	if !ok {
		t.Fatal("the run was not started")
	}
	r.took("bundle create until it gives up", run.result.took)
	r.noSecret(t, "the output", run.result.stdout+run.result.stderr)
	for _, want := range []string{"GET https://" + run.url + ": timed out: no data for 1m0s (after 300000 bytes of ", "next: rerun to resume"} {
		if !strings.Contains(run.result.stderr, want) {
			t.Errorf("it does not say %q: %s", want, run.result)
		}
	}
	attempts := 0
	for _, request := range run.requests {
		if request.URL == run.url {
			attempts++
		}
	}
	if run.result.code != 1 || attempts != 4 {
		t.Errorf("%d attempts: %s", attempts, run.result)
	}
	run.server.Heal()
	dir := filepath.Join(r.dir, "stalled-bundle")
	again := r.behindProxy(t, "stalled-cache", run.server.Username, run.server.Password).run(ctx, t, "bundle", "create", dir, "-i", run.inventory, "--arch", standin.Other)
	if again.code != 0 {
		t.Fatal(again)
	}
	var files []string
	for _, request := range run.server.Requests() {
		if !strings.Contains(request.URL, "/v2/") && !strings.Contains(request.URL, "/blobs/") && !strings.HasSuffix(request.URL, "/token") {
			files = append(files, request.URL+" "+request.Range)
		}
	}
	if want := fmt.Sprintf("%s bytes=%d-", run.url, stalledAfter); len(files) != 1 || files[0] != want {
		t.Errorf("the rerun requested %q, want only %q", files, want)
	}
	for _, stray := range run.server.Strays() {
		t.Errorf("a request that should not be: %s", stray)
	}
}

func (r *rehearsal) machineComesUp(ctx context.Context, t *testing.T) {
	run := r.slipway.must(ctx, t, "lab", "up", "--provider", "container", "--name", r.lab.Name, "--workers", "0", "--machines-only", "--bundle", r.bundle)
	r.took("lab up --machines-only", run.took)
	r.lab = r.status(ctx, t)
	if got := strings.Join(r.lab.names(), " "); got != "cp1" {
		t.Fatalf("machines %s", got)
	}
	r.ignoreDisk(t)
	subnet, err := netip.ParsePrefix(r.lab.Subnet)
	if err != nil {
		t.Fatal(err)
	}
	// The machine reaches this computer and nothing else.
	address, err := r.server.Proxy(ctx, subnet.Masked().Addr().Next().String())
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(r.lab.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	var inventory map[string]any
	if err := kyaml.Unmarshal(content, &inventory); err != nil {
		t.Fatal(err)
	}
	inventory["proxy"], inventory["artifacts"] = r.company(t, r.server, address, "machine")
	for section, fields := range map[string]object{
		"kubernetes": {"version": r.version(t)},
		"containerd": {"mirrors": []any{object{
			"registry": "docker.io", "endpoints": []any{"https://" + standin.Mirror + "/v2/docker.io"}, "copyCredentials": true,
		}}},
	} {
		if inventory[section] == nil {
			inventory[section] = object{}
		}
		maps.Copy(inventory[section].(object), fields)
	}
	delete(inventory, "addons")
	write(t, r.lab.Inventory, marshal(t, inventory))
	r.bare = r.lister.list(t, r.lab)
}

func (r *rehearsal) applies(ctx context.Context, t *testing.T) {
	r.server.Requests()
	fault := standin.Fault{URL: r.at(t, "kubelet", bundle.DefaultArch), Kind: standin.Reset, After: 20e6, Times: 1}
	r.server.Inject(fault)
	run := r.mustRun(ctx, t, "apply-cache", r.on("apply", "-o", "json")...)
	r.took("apply with its downloads", run.took)
	requests := r.server.Requests()
	r.recovered(t, fault, requests)
	for _, request := range requests {
		if strings.Contains(request.URL, standin.Other) {
			t.Errorf("apply requested %s for a machine with %s", request.URL, bundle.DefaultArch)
		}
	}
	if !isFile(bundle.LockFile(r.lab.Inventory)) {
		t.Error("no lock file is beside the inventory")
	}
	r.nodesReady(ctx, t)
}

// foreignImage is in no bundle of the cluster: its addon is not installed.
const foreignImage = "docker.io/library/busybox"

func (r *rehearsal) pulls(ctx context.Context, t *testing.T) {
	source, err := bundle.Open(r.bundle)
	if err != nil {
		t.Fatal(err)
	}
	image, err := source.Image(foreignImage, bundle.DefaultArch)
	if err != nil {
		t.Fatal(err)
	}
	if found := r.mustSSH(ctx, t, "cp1", "/usr/local/bin/ctr -n k8s.io images ls -q"); strings.Contains(found, foreignImage) {
		t.Fatalf("%s is on the machine already", foreignImage)
	}
	r.server.Requests()
	path := filepath.Join(r.dir, "pod.yaml")
	write(t, path, marshal(t, object{
		"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": "pulled", "namespace": "default"},
		"spec": object{
			"tolerations": []any{object{"operator": "Exists"}}, "terminationGracePeriodSeconds": 1,
			"containers": []any{object{"name": "busybox", "image": image.Name, "command": []any{"sleep", "3600"}}},
		},
	}))
	start := time.Now()
	if _, err := r.kubectl(ctx, t, "apply", "-f", path); err != nil {
		t.Fatal(err)
	}
	eventually(ctx, t, "the pod runs", 2*time.Minute, func(ctx context.Context) error {
		phase, err := r.kubectl(ctx, t, "get", "pod", "pulled", "-o", "jsonpath={.status.phase} {.status.containerStatuses[0].state}")
		if err == nil && !strings.HasPrefix(phase, "Running ") {
			err = fmt.Errorf("it is %s", phase)
		}
		return err
	})
	r.took("until the pod with a pulled image runs", time.Since(start))
	asked := map[string]bool{}
	for _, request := range r.server.Requests() {
		host, _, _ := strings.Cut(request.URL, "/")
		asked[host] = true
	}
	if len(asked) != 1 || !asked[standin.Mirror] {
		t.Errorf("containerd asked %v, want only the mirror", asked)
	}
}

func (r *rehearsal) keepsSecrets(ctx context.Context, t *testing.T) {
	_, escaped, _ := strings.Cut(url.UserPassword(r.server.Username, r.server.Password).String(), ":")
	login := base64.StdEncoding.EncodeToString([]byte(r.server.MirrorUsername + ":" + r.server.MirrorPassword))
	for path, want := range map[string]string{"/etc/containerd/proxy.env": escaped, "/etc/containerd/certs.d/docker.io/hosts.toml": login} {
		if content := r.mustSSH(ctx, t, "cp1", "cat "+path); !strings.Contains(content, want) {
			t.Errorf("%s does not have the credentials", path)
		}
		if mode := strings.TrimSpace(r.mustSSH(ctx, t, "cp1", "stat -c '%a %U' "+path)); mode != "600 root" {
			t.Errorf("%s has %s", path, mode)
		}
	}
	for what, script := range map[string]string{
		"the journal of systemd": "journalctl --no-pager",
		"the list of processes":  "ps -eo args",
		"slipway's journal":      "find /var/lib/slipway -type f -exec cat {} +",
		"containerd's unit":      "systemctl show containerd; systemctl cat containerd",
		"the logs":               "find /var/log -type f ! -path '*/journal/*' -exec cat {} +",
		"containerd's settings":  "/usr/local/bin/containerd config dump",
	} {
		out := r.mustSSH(ctx, t, "cp1", script)
		if out == "" {
			t.Errorf("%s is empty", what)
		}
		r.noSecret(t, what, out)
	}
	// slipway's own logs are in its cache directory.
	logs := 0
	err := filepath.WalkDir(filepath.Join(r.dir, "apply-cache/slipway/runs"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		r.noSecret(t, path, string(content))
		logs++
		return err
	})
	if err != nil || logs == 0 {
		t.Errorf("%d logs of runs: %v", logs, err)
	}
}

func (r *rehearsal) changesNothing(ctx context.Context, t *testing.T) {
	if _, err := r.kubectl(ctx, t, "delete", "pod", "pulled", "--wait=false"); err != nil {
		t.Error(err)
	}
	r.server.Requests()
	run := r.mustRun(ctx, t, "apply-cache", r.on("apply", "-o", "json")...)
	r.took("second apply", run.took)
	nothingChanged(t, r.lab.names(), run)
	if requests := r.server.Requests(); len(requests) > 0 {
		t.Errorf("%d requests, such as %s", len(requests), requests[0].URL)
	}
}

func (r *rehearsal) resets(ctx context.Context, t *testing.T) {
	run := r.mustRun(ctx, t, "apply-cache", r.on("reset", "--yes")...)
	r.took("reset", run.took)
	same(t, r.bare.afterReset(), r.lister.list(t, r.lab).afterReset())
	for _, path := range []string{"/etc/containerd", "/etc/systemd/system/containerd.service.d"} {
		if _, err := os.Lstat(filepath.Join(r.lab.tree("cp1"), path)); err == nil {
			t.Errorf("reset left %s", path)
		}
	}
}
