package runtime

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/bundle/install"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
	"slipway.io/slipway/templates"
)

const list = "REF TYPE DIGEST SIZE PLATFORMS LABELS\n"

func line(image bundle.Image, labels string) string {
	return image.Name + " application/vnd.oci.image.manifest.v1+json " + image.Digest + " 12.3 MiB linux/amd64 " + labels + "\n"
}

func listImages(fake *hosttest.Fake) *hosttest.Expectation {
	return fake.ExpectQuery("/usr/local/bin/ctr", "--namespace", "k8s.io", "images", "list")
}

func TestMissingImages(t *testing.T) {
	t.Parallel()
	content := workflowtest.NewBundle(t)
	all := wanted(content, "control-plane")
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
		want               []string
	}{
		{"none where all are there", "cp-1", list + whole, nil},
		{"all where there are none", "cp-1", list, names(all)},
		{"one that is not pinned", "cp-1", list + strings.Replace(whole, line(pause, "io.cri-containerd.image=managed,"+pinned), line(pause, "io.cri-containerd.image=managed"), 1), []string{pause.Name}},
		{"one that is another under this name", "cp-1", list + strings.Replace(whole, line(pause, "io.cri-containerd.image=managed,"+pinned), line(older, pinned), 1), []string{pause.Name}},
		{"of a worker, those of workers", "w-1", list, names(wanted(content, "worker"))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}, {name: w-1, address: 192.0.2.21}]\n")
			fixture.Bundle = content
			listImages(fixture.Host(test.host)).Returns(test.listed)
			var got []string
			look := workflow.Phase{Name: "look", Do: func(ctx context.Context, s *workflow.Step) error {
				if s.Target.Config.Name != test.host {
					return nil
				}
				missing, err := missingImages(ctx, s, wanted(content, install.Role(s.Target.Config)))
				got = names(missing)
				return err
			}}
			fixture.MustApply(look)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// wanted are the images of every cluster and of Flannel.
func wanted(b *bundle.Bundle, role string) []bundle.Image {
	return append(b.Images(role, "amd64"), b.AddonImages("flannel", role, "amd64")...)
}

// The images of addons are imported by another phase, and only
// if the inventory names the addon.
func TestImagesOfAddons(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		inventory string
		want      []string
	}{
		"none is named": {one, nil},
		"one is named":  {one + "addons: [{name: traefik}]\n", []string{workflowtest.TraefikImage}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture, fake := withBundle(t, test.inventory)
			if len(test.want) > 0 {
				listImages(fake).Returns(list)
				fake.ExpectRun("/usr/local/bin/ctr", "--namespace", "k8s.io", "images", "import", "--local", "--sync-fs", "--digests=false", "-").
					Stdin(archiveOf(t, fixture.Bundle, fixture.Bundle.AddonImages("traefik", "", "amd64")))
				fake.ExpectRunScript("pin-images.sh", append([]string{pinned}, test.want...)...)
			}
			fixture.MustApply(AddonImages())
		})
	}
}

func archiveOf(t *testing.T, b *bundle.Bundle, images []bundle.Image) string {
	t.Helper()
	var archive strings.Builder
	if err := b.WriteImages(t.Context(), &archive, images); err != nil {
		t.Fatal(err)
	}
	return archive.String()
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
	fixture, fake := withBundle(t, one)
	all := names(wanted(fixture.Bundle, "control-plane"))
	archive := archiveOf(t, fixture.Bundle, wanted(fixture.Bundle, "control-plane"))
	listImages(fake).Returns(list)
	fake.ExpectRun("/usr/local/bin/ctr", "--namespace", "k8s.io", "images", "import", "--local", "--sync-fs", "--digests=false", "-").Stdin(archive)
	fake.ExpectRunScript("pin-images.sh", append([]string{pinned}, all...)...)
	fixture.MustApply(Images())
}

func TestImportsSyncWhatTheyUnpack(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{
		"v2.3.4": "--local --sync-fs --digests=false -", "2.0.0": "--local --sync-fs --digests=false -", "v1.7.27": "--digests=false -",
	} {
		if got := strings.Join(importArgv(version)[5:], " "); got != want {
			t.Errorf("containerd %s: %s, want %s", version, got, want)
		}
	}
}

// The label is what says that an image is complete: a power loss after it must not
// damage the image.
func TestImagesAreOnDiskBeforeTheyArePinned(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, sync, want string
		code             int
	}{
		{"a disk", "", "sync -f /var/lib/containerd\nctr --namespace k8s.io images label a x=y\nctr --namespace k8s.io images label b x=y\n", 0},
		{"a broken disk", "exit 1", "sync -f /var/lib/containerd\n", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			log := filepath.Join(t.TempDir(), "log")
			local := hosttest.Local{Env: []string{"LOG=" + log, hosttest.Programs(t, map[string]string{
				"sync": `echo "sync $*" >>"$LOG"; ` + test.sync, "ctr": `echo "ctr $*" >>"$LOG"`,
			})}}
			script := strings.ReplaceAll(string(templates.Script("runtime/pin-images.sh")), "/usr/local/bin/ctr", "ctr")
			_, err := local.Run(t.Context(), host.Script("pin-images.sh", []byte(script), "x=y", "a", "b"))
			if (err != nil) != (test.code != 0) {
				t.Error(err)
			}
			if got, _ := os.ReadFile(log); string(got) != test.want {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestExistingImagesAreNotSentAgain(t *testing.T) {
	t.Parallel()
	fixture, fake := withBundle(t, one)
	var listed strings.Builder
	for _, image := range wanted(fixture.Bundle, "control-plane") {
		listed.WriteString(line(image, pinned))
	}
	listImages(fake).Returns(listed.String())
	fixture.MustApply(Images())
	if got := fixture.Changes(); len(got) > 0 {
		t.Errorf("changes %v", got)
	}
}

func TestAnImportThatFailsIsAnError(t *testing.T) {
	t.Parallel()
	fixture, fake := withBundle(t, one)
	listImages(fake).Returns(list)
	fake.ExpectRun("/usr/local/bin/ctr", "--namespace", "k8s.io", "images", "import", "--local", "--sync-fs", "--digests=false", "-").Fails(1, "ctr: no space left on device")
	err := fixture.Apply(Images())
	var exit *host.ExitError
	if !errors.As(err, &exit) || exit.Code != 1 {
		t.Errorf("got %v", err)
	}
}

// The error of the bundle is the cause of the failure, and is in the message.
func TestADamagedImageStopsTheImport(t *testing.T) {
	t.Parallel()
	fixture, fake := withBundle(t, one)
	pause, err := fixture.Bundle.Image("registry.k8s.io/pause", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	blob := filepath.Join(fixture.Bundle.Dir(), "images", "blobs", "sha256", strings.TrimPrefix(pause.Digest, "sha256:"))
	if err := os.WriteFile(blob, []byte("damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
	listImages(fake).Returns(list)
	err = fixture.Apply(Images())
	var corrupt *bundle.CorruptError
	if !errors.As(err, &corrupt) {
		t.Errorf("got %v, want a *bundle.CorruptError", err)
	}
}

func TestAPlanSendsNoImages(t *testing.T) {
	t.Parallel()
	fixture, fake := withBundle(t, one)
	fake.ExpectService(service, readFiles...).Returns("disabled\nstopped inactive\n")
	fixture.MustPlan(Containerd())
	listImages(fake).Fails(127, "not found")
	fixture.MustPlan(Images())
	got := fixture.Changes()
	if len(got) != 2 || !strings.HasPrefix(got[0], "run import 4 images: ") || !strings.HasPrefix(got[1], "run pin-images.sh ") {
		t.Errorf("got %q", got)
	}
}

// Images cannot be listed without a containerd that runs. That is no reason to import
// them unless the plan installs or starts it.
func TestImagesThatCannotBeListedAreAnError(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, state string
		missing     string // of containerd's files
		plan        bool
		code        int
		planned     bool
	}{
		{"in an apply, without ctr", "", "", false, 127, false},
		{"in an apply, with a containerd that does not answer", "", "", false, 1, false},
		{"in a plan that starts containerd", "stopped failed\n", "", true, 1, true},
		{"in a plan that installs ctr", "", "/usr/local/bin/ctr", true, 127, true},
		{"in a plan that installs ctr, which fails", "", "/usr/local/bin/ctr", true, 1, false},
		{"in a plan that installs runc", "", "/usr/local/bin/runc", true, 127, false},
		{"in a plan that enables containerd", "disabled\n", "", true, 1, false},
		{"in a plan without changes", "", "", true, 1, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture, fake := installed(t, one)
			run := fixture.Apply
			if test.plan {
				run = fixture.Plan
				if test.missing != "" {
					fake.Remove(test.missing)
				}
				fake.ExpectService(service, readFiles...).Returns(test.state)
				dumpOf(t, fake)
				fixture.MustPlan(Containerd())
			}
			listImages(fake).Fails(test.code, "ctr: cannot be used")
			err := run(Images())
			var exit *host.ExitError
			if test.planned && err != nil || !test.planned && (!errors.As(err, &exit) || len(fixture.Changes()) > 0) {
				t.Errorf("got %v, changes %q", err, fixture.Changes())
			}
			if test.planned && len(fixture.Changes()) != 2 {
				t.Errorf("changes %q", fixture.Changes())
			}
		})
	}
}
