package runtime

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/remote"
	"slipway.io/slipway/provision/remote/remotetest"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

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
			bed := workflowtest.New(t, test.inventory)
			want := settings{major: test.major, PauseImage: "registry.k8s.io/pause:3.10.2", SystemdCgroup: true}
			got, err := want.render(bed.Cluster.Containerd.Config)
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
		{"as it shall be", dump, settings{2, pause, true}, nil},
		{"of containerd 1 as it shall be", string(v1), settings{1, pause, true}, nil},
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
	files, err := mirrorFiles([]config.Mirror{
		{Registry: "docker.io", Endpoints: []string{"https://a.example", "https://b.example"}},
		{Registry: "_default", Endpoints: []string{"http://c.example:5000"}, SkipVerify: true},
	})
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

// installed is a bed whose machine has containerd's service.
func installed(t *testing.T, inventory, state string) (*workflowtest.Bed, *remotetest.Fake) {
	t.Helper()
	bed := workflowtest.New(t, inventory)
	bed.Bundle = workflowtest.NewBundle(t)
	machine := bed.Machine("cp-1")
	machine.ExpectQueryScript("state.sh", service, configFile, serviceFile, "/usr/local/bin/containerd").Returns(state).AnyTimes()
	return bed, machine
}

func dumpOf(t *testing.T, machine *remotetest.Fake) *remotetest.Expectation {
	t.Helper()
	content, err := os.ReadFile("testdata/dump-containerd-2.toml")
	if err != nil {
		t.Fatal(err)
	}
	return machine.ExpectQuery("/usr/local/bin/containerd", "--config", configFile, "config", "dump").Returns(string(content))
}

func TestContainerdIsInstalledAndAskedWhatItHas(t *testing.T) {
	t.Parallel()
	bed, machine := installed(t, one+"containerd: {mirrors: [{registry: docker.io, endpoints: [https://a.example]}]}\n", "containerd.service is not enabled\n")
	machine.ExpectRunScript("start.sh", service)
	dumpOf(t, machine)
	bed.MustApply(Containerd())
	for _, path := range []string{
		"/etc/containerd", "/var/lib/containerd", "/etc/containerd/config.toml", "/etc/containerd/certs.d/docker.io/hosts.toml",
		"/etc/systemd/system/containerd.service", "/usr/local/bin/containerd", "/usr/local/bin/containerd-shim-runc-v2", "/usr/local/bin/ctr", "/usr/local/bin/runc",
	} {
		_, file := machine.File(path)
		_, blob := machine.Blob(path)
		if !file && !blob {
			t.Errorf("%s is missing", path)
		}
	}
	if text, _ := machine.File(configFile); !strings.Contains(string(text.Content), "sandbox = '"+workflowtest.PauseImage+"'") {
		t.Errorf("the pause image of the bundle is not pinned:\n%s", text.Content)
	}
}

func TestContainerdThatIgnoresItsFileIsSaid(t *testing.T) {
	t.Parallel()
	bed, machine := installed(t, one+"containerd: {cgroupDriver: cgroupfs}\n", "ok\n")
	dumpOf(t, machine)
	err := bed.Apply(Containerd())
	if err == nil || !strings.Contains(err.Error(), "SystemdCgroup is true, not false") || workflow.Hint(err) == "" {
		t.Errorf("got %v, hint %q", err, workflow.Hint(err))
	}
}

// The dump in a plan is that of the configuration before.
func TestAPlanOfAnotherConfigurationIsNoError(t *testing.T) {
	t.Parallel()
	bed, machine := installed(t, one+"containerd: {cgroupDriver: cgroupfs}\n", "ok\n")
	machine.StrictFiles()
	machine.Put(configFile, "another")
	bed.MustPlan(Containerd())
	if got := strings.Join(bed.Changes(), "\n"); !strings.Contains(got, "write "+configFile) {
		t.Errorf("got %s", got)
	}
}

const list = "REF TYPE DIGEST SIZE PLATFORMS LABELS\n"

func line(image bundle.Image, labels string) string {
	return image.Name + " application/vnd.oci.image.manifest.v1+json " + image.Digest + " 12.3 MiB linux/amd64 " + labels + "\n"
}

func listImages(machine *remotetest.Fake) *remotetest.Expectation {
	return machine.ExpectQuery("/usr/local/bin/ctr", "--namespace", "k8s.io", "images", "list")
}

func TestMissingImages(t *testing.T) {
	t.Parallel()
	content := workflowtest.NewBundle(t)
	all := content.Images("control-plane", "amd64")
	var listed strings.Builder
	for _, image := range all {
		listed.WriteString(line(image, "io.cri-containerd.image=managed,"+pinned))
	}
	pause, err := content.Image("registry.k8s.io/pause", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	older := pause
	older.Digest = "sha256:" + strings.Repeat("0", 64)
	whole := listed.String()
	tests := []struct {
		name, host, listed string
		fails              bool
		want               []string
	}{
		{"none where all are there", "cp-1", list + whole, false, nil},
		{"all where ctr is not there yet", "cp-1", "", true, names(all)},
		{"all where there are none", "cp-1", list, false, names(all)},
		{"one that is not pinned", "cp-1", list + strings.Replace(whole, line(pause, "io.cri-containerd.image=managed,"+pinned), line(pause, "io.cri-containerd.image=managed"), 1), false, []string{pause.Name}},
		{"one that is another under this name", "cp-1", list + strings.Replace(whole, line(pause, "io.cri-containerd.image=managed,"+pinned), line(older, pinned), 1), false, []string{pause.Name}},
		{"of a worker, those of workers", "w-1", list, false, names(content.Images("worker", "amd64"))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			bed := workflowtest.New(t, "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}, {name: w-1, address: 192.0.2.21}]\n")
			bed.Bundle = content
			answer := listImages(bed.Machine(test.host)).Returns(test.listed)
			if test.fails {
				answer.Fails(127, "not found")
			}
			var got []string
			look := workflow.Phase{Name: "look", Do: func(ctx context.Context, s *workflow.Step) error {
				if s.Machine.Spec.Name != test.host {
					return nil
				}
				missing, err := missingImages(ctx, s)
				got = names(missing)
				return err
			}}
			bed.MustApply(look)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func names(images []bundle.Image) []string {
	var all []string
	for _, image := range images {
		all = append(all, image.Name)
	}
	return all
}

func TestImagesAreStreamedAndPinned(t *testing.T) {
	t.Parallel()
	bed, machine := installed(t, one, "ok\n")
	all := names(bed.Bundle.Images("control-plane", "amd64"))
	var archive strings.Builder
	if err := bed.Bundle.WriteImages(t.Context(), &archive, bed.Bundle.Images("control-plane", "amd64")); err != nil {
		t.Fatal(err)
	}
	listImages(machine).Returns(list)
	machine.ExpectRun("/usr/local/bin/ctr", "--namespace", "k8s.io", "images", "import", "--digests=false", "-").Stdin(archive.String())
	machine.ExpectRunScript("pin-images.sh", append([]string{pinned}, all...)...)
	bed.MustApply(Images())
}

func TestImagesThatAreThereAreNotSentAgain(t *testing.T) {
	t.Parallel()
	bed, machine := installed(t, one, "ok\n")
	var listed strings.Builder
	for _, image := range bed.Bundle.Images("control-plane", "amd64") {
		listed.WriteString(line(image, pinned))
	}
	listImages(machine).Returns(listed.String())
	bed.MustApply(Images())
	if got := bed.Changes(); len(got) > 0 {
		t.Errorf("changes %v", got)
	}
}

func TestAnImportThatFailsIsAnError(t *testing.T) {
	t.Parallel()
	bed, machine := installed(t, one, "ok\n")
	listImages(machine).Returns(list)
	machine.ExpectRun("/usr/local/bin/ctr", "--namespace", "k8s.io", "images", "import", "--digests=false", "-").Fails(1, "ctr: no space left on device")
	err := bed.Apply(Images())
	var exit *remote.ExitError
	if !errors.As(err, &exit) || exit.Code != 1 {
		t.Errorf("got %v", err)
	}
}

// What is wrong with the bundle is the cause, and says so.
func TestADamagedImageStopsTheImport(t *testing.T) {
	t.Parallel()
	bed, machine := installed(t, one, "ok\n")
	pause, err := bed.Bundle.Image("registry.k8s.io/pause", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	blob := filepath.Join(bed.Bundle.Dir(), "images", "blobs", "sha256", strings.TrimPrefix(pause.Digest, "sha256:"))
	if err := os.WriteFile(blob, []byte("damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
	listImages(machine).Returns(list)
	err = bed.Apply(Images())
	var corrupt *bundle.CorruptError
	if !errors.As(err, &corrupt) {
		t.Errorf("got %v, want a *bundle.CorruptError", err)
	}
}

func TestAPlanSendsNoImages(t *testing.T) {
	t.Parallel()
	bed, machine := installed(t, one, "ok\n")
	listImages(machine).Fails(127, "not found")
	bed.MustPlan(Images())
	got := bed.Changes()
	if len(got) != 2 || !strings.HasPrefix(got[0], "run import 4 images: ") || !strings.HasPrefix(got[1], "run pin-images.sh ") {
		t.Errorf("got %q", got)
	}
}
