package runtime

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/sources"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

var update = flag.Bool("update", false, "update the golden files")

const one = "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n"

// overridden is an inventory with settings for both majors of containerd.
const overridden = one + `
containerd:
  config:
    debug: {level: debug}
    oom_score: -999
    plugins:
      io.containerd.cri.v1.runtime: {restrict_oom_score_adj: true, containerd: {runtimes: {runc: {options: {ShimCgroup: /x}}}}}
      io.containerd.grpc.v1.cri: {max_concurrent_downloads: 5, stream_idle_timeout: 4h0m0s, ratio: 1.5, whole: 2.0}
      io.containerd.cri.v1.images: {registry: null}
`

func TestConfigurationIsRenderedForEachMajor(t *testing.T) {
	t.Parallel()
	tests := []struct {
		golden    string
		major     int
		inventory string
	}{
		{"config-1.toml", 1, one},
		{"config-2.toml", 2, one},
		{"config-1-overrides.toml", 1, overridden},
		{"config-2-overrides.toml", 2, overridden},
	}
	for _, test := range tests {
		t.Run(test.golden, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, test.inventory)
			want := settings{major: test.major, PauseImage: "registry.k8s.io/pause:3.10.2", SystemdCgroup: true}
			got, err := want.render(fixture.Cluster.Containerd.Config)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", test.golden)
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			golden, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(golden), string(got)); diff != "" {
				t.Errorf("%s: go test -update, if that is meant:\n%s", path, diff)
			}
		})
	}
}

// The dump is that of containerd 2.3.4 for the rendered configuration.
func TestDumpIsCompared(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("testdata/dump-containerd-2.toml")
	if err != nil {
		t.Fatal(err)
	}
	dump := string(content)
	v1, err := os.ReadFile("testdata/config-1.toml")
	if err != nil {
		t.Fatal(err)
	}
	changed := func(old, replacement string) string {
		if !strings.Contains(dump, old) {
			t.Fatalf("the dump has no %q", old)
		}
		return strings.Replace(dump, old, replacement, 1)
	}
	const pause = "registry.k8s.io/pause:3.10.2"
	tests := []struct {
		name, dump string
		want       settings
		problems   []string
	}{
		{"as required", dump, settings{2, pause, true}, nil},
		{"of containerd 1 as required", string(v1), settings{1, pause, true}, nil},
		{"with another pause image", dump, settings{2, "registry.k8s.io/pause:3.9", true}, []string{
			"plugins.io.containerd.cri.v1.images.pinned_images.sandbox is registry.k8s.io/pause:3.10.2, not registry.k8s.io/pause:3.9",
		}},
		{"with another cgroup driver", dump, settings{2, pause, false}, []string{
			"plugins.io.containerd.cri.v1.runtime.containerd.runtimes.runc.options.SystemdCgroup is true, not false",
		}},
		{"without the mirrors", changed("config_path = '/etc/containerd/certs.d'", "config_path = ''"), settings{2, pause, true}, []string{
			"plugins.io.containerd.cri.v1.images.registry.config_path is , not /etc/containerd/certs.d",
		}},
		{"with CRI switched off", changed("disabled_plugins = []", "disabled_plugins = ['cri', 'io.containerd.snapshotter.v1.zfs']"), settings{2, pause, true}, []string{
			"disabled_plugins has cri",
		}},
		{"with CRI switched off by its new name", changed("disabled_plugins = []", "disabled_plugins = ['io.containerd.cri.v1.runtime']"), settings{2, pause, true}, []string{
			"disabled_plugins has io.containerd.cri.v1.runtime",
		}},
		{"whose keys are of another version", string(v1), settings{2, pause, true}, []string{
			"plugins.io.containerd.cri.v1.images.pinned_images.sandbox is <nil>, not registry.k8s.io/pause:3.10.2",
			"plugins.io.containerd.cri.v1.images.registry.config_path is <nil>, not /etc/containerd/certs.d",
			"plugins.io.containerd.cri.v1.runtime.containerd.runtimes.runc.options.SystemdCgroup is <nil>, not true",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.problems, test.want.compare([]byte(test.dump))); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got := (settings{2, pause, true}).compare([]byte("= no TOML")); len(got) != 1 {
		t.Errorf("what is no TOML has the problems %v", got)
	}
}

func TestMirrorsAreFilesOfTheirRegistries(t *testing.T) {
	t.Parallel()
	files, err := mirrorFiles(t.Context(), []config.Mirror{
		{Registry: "docker.io", Endpoints: []string{"https://a.example", "https://b.example"}},
		{Registry: "_default", Endpoints: []string{"http://c.example:5000"}, SkipVerify: true},
	}, sources.Credentials{})
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range files {
		paths = append(paths, f.Path)
	}
	want := []string{"/etc/containerd/certs.d/docker.io/hosts.toml", "/etc/containerd/certs.d/_default/hosts.toml"}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Error(diff)
	}
	if text := string(files[1].Content); !strings.Contains(text, "[host.'http://c.example:5000']") || !strings.Contains(text, "skip_verify = true") {
		t.Errorf("got %s", text)
	}
	if text := string(files[0].Content); strings.Index(text, "a.example") > strings.Index(text, "b.example") || strings.Contains(text, "skip_verify") {
		t.Errorf("got %s", text)
	}
}

// readFiles are the files that containerd reads when it starts.
var readFiles = []string{configFile, serviceFile, "/usr/local/bin/containerd"}

// withBundle is a fixture with a bundle. Its host is fresh.
func withBundle(t *testing.T, inventory string) (*workflowtest.Fixture, *hosttest.Fake) {
	t.Helper()
	fixture := workflowtest.New(t, inventory)
	fixture.Bundle = workflowtest.NewBundle(t)
	return fixture, fixture.Host("cp-1")
}

// installed is a fixture whose host runs containerd with the configuration of the
// inventory.
func installed(t *testing.T, inventory string) (*workflowtest.Fixture, *hosttest.Fake) {
	t.Helper()
	fixture, fake := withBundle(t, inventory)
	fake.ExpectService(service, readFiles...).Returns("disabled\nstopped inactive\n")
	fake.ExpectStart("start containerd.service: it is inactive", service, readFiles...)
	dumpOf(t, fake)
	fixture.MustApply(Containerd())
	return fixture, fake
}

func dumpOf(t *testing.T, fake *hosttest.Fake) *hosttest.Expectation {
	t.Helper()
	content, err := os.ReadFile("testdata/dump-containerd-2.toml")
	if err != nil {
		t.Fatal(err)
	}
	return fake.ExpectQuery("/usr/local/bin/containerd", "--config", configFile, "config", "dump").Returns(string(content))
}

func TestContainerdIsInstalledAndItsConfigurationVerified(t *testing.T) {
	t.Parallel()
	_, fake := installed(t, one+"containerd: {mirrors: [{registry: docker.io, endpoints: [https://a.example]}]}\n")
	for _, path := range []string{
		"/etc/containerd", "/var/lib/containerd", "/etc/containerd/config.toml", "/etc/containerd/certs.d/docker.io/hosts.toml",
		"/etc/systemd/system/containerd.service", "/usr/local/bin/containerd", "/usr/local/bin/containerd-shim-runc-v2", "/usr/local/bin/ctr", "/usr/local/bin/runc",
	} {
		_, file := fake.File(path)
		_, blob := fake.Blob(path)
		if !file && !blob {
			t.Errorf("%s is missing", path)
		}
	}
	if text, _ := fake.File(configFile); !strings.Contains(string(text.Content), "sandbox = '"+workflowtest.PauseImage+"'") {
		t.Errorf("the pause image of the bundle is not pinned:\n%s", text.Content)
	}
}

// A plan shows the same changes as an apply: the restart too, although the files
// are not written.
func TestContainerdRestartsOnceWhenAFileThatItReadsChanges(t *testing.T) {
	t.Parallel()
	const (
		binary  = "/usr/local/bin/containerd"
		shim    = "/usr/local/bin/containerd-shim-runc-v2"
		mirror  = "/etc/containerd/certs.d/docker.io/hosts.toml"
		dropIn  = "/etc/systemd/system/containerd.service.d/proxy.conf"
		restart = "restart containerd.service: "
	)
	tests := []struct {
		name string
		// missing are files of slipway that differ, state what the host reports.
		missing []string
		state   string
		start   string
		changes []string
	}{
		{"nothing has changed", nil, "", "", nil},
		{"a new binary", []string{binary}, "", restart + binary + " changed", []string{"upload " + binary + " (0.0 MB)"}},
		{"a new configuration", []string{configFile}, "", restart + configFile + " changed", []string{"write " + configFile}},
		{"a new unit", []string{serviceFile}, "", restart + serviceFile + " changed", []string{"write " + serviceFile}},
		{
			"a new binary and configuration",
			[]string{binary, configFile},
			"",
			restart + configFile + ", " + binary + " changed",
			[]string{"upload " + binary + " (0.0 MB)", "write " + configFile},
		},
		{"a run that was killed before the restart", nil, "changed " + binary + "\n", restart + binary + " changed", nil},
		{"a drop-in of an administrator", nil, "changed " + dropIn + "\n", restart + dropIn + " changed", nil},
		{"new pods run a new shim", []string{shim}, "", "", []string{"upload " + shim + " (0.0 MB)"}},
		{"a mirror is read without a restart", []string{mirror}, "", "", []string{"write " + mirror}},
		{"a stopped containerd", nil, "stopped inactive\n", "start containerd.service: it is inactive", nil},
		{"a failed containerd", nil, "stopped failed\n", "start containerd.service: it is failed", nil},
		{"a disabled containerd runs on", nil, "disabled\n", "", []string{"run enable.sh containerd.service"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture, fake := installed(t, one+"containerd: {mirrors: [{registry: docker.io, endpoints: [https://a.example]}]}\n")
			for _, path := range test.missing {
				fake.Remove(path)
			}
			want := slices.Clone(test.changes)
			if test.start != "" {
				want = append(want, "run "+test.start)
			}
			fake.ExpectService(service, readFiles...).Returns(test.state).Times(2)
			if !slices.Contains(test.missing, binary) && !slices.Contains(test.missing, configFile) {
				dumpOf(t, fake)
			}
			fixture.MustPlan(Containerd())
			if diff := cmp.Diff(want, fixture.Changes()); diff != "" {
				t.Errorf("plan: %s", diff)
			}
			if test.start != "" {
				fake.ExpectStart(test.start, service, readFiles...)
			}
			if test.state == "disabled\n" {
				fake.ExpectRunScript("enable.sh", service)
			}
			dumpOf(t, fake)
			fixture.MustApply(Containerd())
			if diff := cmp.Diff(want, fixture.Changes()); diff != "" {
				t.Errorf("apply: %s", diff)
			}
		})
	}
}

func TestMirrorsThatTheInventoryNoLongerHasAreDeleted(t *testing.T) {
	t.Parallel()
	fixture, fake := installed(t, one+"containerd: {mirrors: [{registry: docker.io, endpoints: [https://a.example]}]}\n")
	fixture.Facts("cp-1").Software.Mirrors = []string{"_default", "docker.io", "old.example:5000"}
	files := []string{
		"/etc/containerd/certs.d/_default/hosts.toml", "/etc/containerd/certs.d/_default/ca.pem",
		"/etc/containerd/certs.d/old.example:5000/hosts.toml", "/etc/containerd/certs.d/old.example:5000/ca.pem",
	}
	dirs := []string{"/etc/containerd/certs.d/_default", "/etc/containerd/certs.d/old.example:5000"}
	want := []string{"run rm -f " + strings.Join(files, " "), "run rmdir --ignore-fail-on-non-empty " + strings.Join(dirs, " ")}
	apply := func(phase workflow.Phase) {
		fake.ExpectRun(append([]string{"rm", "-f"}, files...)...)
		fake.ExpectRun(append([]string{"rmdir", "--ignore-fail-on-non-empty"}, dirs...)...)
		fixture.MustApply(phase)
	}
	for _, run := range []func(workflow.Phase){fixture.MustPlan, apply} {
		fake.ExpectService(service, readFiles...)
		dumpOf(t, fake)
		run(Containerd())
		if diff := cmp.Diff(want, fixture.Changes()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestContainerdThatIgnoresItsFileIsAnError(t *testing.T) {
	t.Parallel()
	fixture, fake := installed(t, one)
	fixture.Cluster.Containerd.CgroupDriver = "cgroupfs"
	fake.ExpectService(service, readFiles...)
	fake.ExpectStart("restart containerd.service: "+configFile+" changed", service, readFiles...)
	dumpOf(t, fake)
	err := fixture.Apply(Containerd())
	if err == nil || !strings.Contains(err.Error(), "SystemdCgroup is true, not false") || workflow.Hint(err) == "" {
		t.Errorf("got %v, hint %q", err, workflow.Hint(err))
	}
}

// A plan verifies a configuration that it does not change.
func TestAPlanReportsAConfigurationThatIsNotInEffect(t *testing.T) {
	t.Parallel()
	fixture, fake := installed(t, one)
	fake.ExpectService(service, readFiles...)
	fake.ExpectQuery("/usr/local/bin/containerd", "--config", configFile, "config", "dump").Returns("version = 3\n")
	if err := fixture.Plan(Containerd()); err == nil || !strings.Contains(err.Error(), "does not have the configuration") {
		t.Errorf("got %v", err)
	}
}

// In a plan, the dump is that of the present configuration.
func TestAPlanOfAnotherConfigurationIsNoError(t *testing.T) {
	t.Parallel()
	fixture, fake := installed(t, one)
	fixture.Cluster.Containerd.CgroupDriver = "cgroupfs"
	fake.StrictFiles()
	fake.ExpectService(service, readFiles...)
	fixture.MustPlan(Containerd())
	if got := strings.Join(fixture.Changes(), "\n"); !strings.Contains(got, "write "+configFile) {
		t.Errorf("got %s", got)
	}
}
