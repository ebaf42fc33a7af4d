//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"slipway.io/slipway/provision/lab/vagrant"
)

// withPlugins is a Vagrantfile that loads e2e/vagrant/plugins.rb before the one of
// slipway beside it.
const withPlugins = `require %q
SlipwayStubs.register
path = File.join(__dir__, "Vagrantfile.slipway")
eval(File.read(path), binding, path)
`

// TestVagrantfile runs "vagrant validate" with each provider and each box that it has,
// on both architectures. `make vagrant-validate` runs it: it needs Vagrant and
// vagrant-libvirt, and creates no machine.
//
// libvirt has its own plugin. The provider of VirtualBox is a part of Vagrant, and only
// reads the version of VirtualBox: a script prints one. The plugins of VMware and
// Parallels are not packaged: e2e/vagrant/plugins.rb has their options.
func TestVagrantfile(t *testing.T) {
	original, err := os.ReadFile("../vagrant/Vagrantfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, provider := range vagrant.Providers() {
		for _, box := range boxesOf(provider) {
			t.Run(provider+" "+box, func(t *testing.T) {
				t.Parallel() // Vagrant takes more than a second to start
				out, err := validate(t.Context(), t, string(original), provider, box)
				if err != nil || !strings.Contains(out, "validated successfully") {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
		t.Run(provider+" refuses an unknown option", func(t *testing.T) {
			t.Parallel()
			wrong := map[string]string{
				"virtualbox": "virtualbox.cpus", "libvirt": "libvirt.cpus", "vmware_desktop": "vmware.linked_clone", "parallels": "parallels.cpus",
			}[provider]
			if !strings.Contains(string(original), wrong+" = ") {
				t.Fatalf("the Vagrantfile lacks %s", wrong)
			}
			out, err := validate(t.Context(), t, strings.Replace(string(original), wrong+" = ", wrong+"es = ", 1), provider, vagrant.DefaultBox(provider, "amd64"))
			if _, option, _ := strings.Cut(wrong, "."); err == nil || !strings.Contains(out, option+"es") {
				t.Errorf("%ses: %v\n%s", wrong, err, out)
			}
		})
	}
	// The files as they are in the repository.
	t.Run("the directory vagrant", func(t *testing.T) {
		t.Parallel()
		if out, err := runVagrant(t.Context(), "../vagrant", environment(t), "validate"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// boxesOf are the boxes of a provider for each architecture, and its defaults.
func boxesOf(provider string) []string {
	var boxes []string
	for _, arch := range []string{"amd64", "arm64"} {
		boxes = append(boxes, vagrant.DefaultBox(provider, arch))
		boxes = append(boxes, vagrant.BoxesOf(provider, arch)...)
	}
	slices.Sort(boxes)
	return slices.Compact(boxes)
}

// validate validates a Vagrantfile with the lab.yaml of a provider and a box.
func validate(ctx context.Context, t *testing.T, vagrantfile, provider, box string) (string, error) {
	t.Helper()
	here, err := os.ReadFile("../vagrant/lab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	settings := strings.NewReplacer("provider: virtualbox\n", "provider: "+provider+"\n", "box: bento/debian-13\n", "box: "+vagrant.BoxOf(box)+"\n",
		"192.168.56.0/24", vagrant.DefaultNetwork(provider).String()).Replace(string(here))
	if !strings.Contains(settings, "\nprovider: "+provider+"\n") || !strings.Contains(settings, "\nbox: "+vagrant.BoxOf(box)+"\n") {
		t.Fatalf("lab.yaml has an unexpected form:\n%s", settings)
	}
	plugins, err := filepath.Abs("vagrant/plugins.rb")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "lab.yaml"), settings)
	write(t, filepath.Join(dir, "Vagrantfile.slipway"), vagrantfile)
	write(t, filepath.Join(dir, "Vagrantfile"), fmt.Sprintf(withPlugins, plugins))
	return runVagrant(ctx, dir, environment(t), "validate")
}

// environment has a VirtualBox, and a home of Vagrant that nothing else uses.
func environment(t *testing.T) []string {
	t.Helper()
	programs := t.TempDir()
	if err := os.WriteFile(filepath.Join(programs, "VBoxManage"), []byte("#!/bin/sh\necho 7.0.20r163906\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return []string{"PATH=" + programs + ":" + os.Getenv("PATH"), "VAGRANT_HOME=" + t.TempDir(), "VAGRANT_CHECKPOINT_DISABLE=1"}
}

// runVagrant runs Vagrant itself, in a directory.
func runVagrant(ctx context.Context, dir string, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "vagrant", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("vagrant %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}
