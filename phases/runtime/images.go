package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/bundle/install"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

// pinned is the label that protects an image from kubelet's garbage collection
// (containerd, internal/cri/labels: PinnedImageLabelKey).
const pinned = "io.cri-containerd.pinned=pinned"

// Images imports the images that the role of the host needs.
func Images() workflow.Phase {
	return workflow.Phase{
		Name:  "images",
		Title: "import the images",
		Why: "kubeadm times out if images are pulled slowly, and registries limit the pulls of many hosts behind one " +
			"address. Each image is downloaded once and sent to each host before init starts. " +
			"Images are pinned, so that kubelet's garbage collection does not delete what cannot be pulled again, and only " +
			"when they are on disk: containerd never repairs an image that a power loss damaged.",
		Manual: []string{
			"ctr -n k8s.io images import --local --sync-fs IMAGE.tar",
			"ctr -n k8s.io images label IMAGE io.cri-containerd.pinned=pinned",
		},
		On:    workflow.EachHost,
		Bulk:  true,
		Needs: []string{"containerd"},
		Do: func(ctx context.Context, s *workflow.Step) error {
			if s.Target.Config.Has(config.RoleEtcd) {
				return importEtcd(ctx, s)
			}
			return importImages(ctx, s, append(imagesOf(s, ""), imagesOf(s, s.Cluster().Network.CNI.Name)...))
		},
	}
}

// AddonImages imports the images of addons. Only the addons wait for them.
func AddonImages() workflow.Phase {
	return workflow.Phase{
		Name:  "addon-images",
		Title: "import the images of addons",
		Why: "A pod that starts before its image is imported backs off for minutes. A host receives only images of " +
			"addons in the inventory.",
		Manual: []string{
			"ctr -n k8s.io images import --local --sync-fs IMAGE.tar",
			"ctr -n k8s.io images label IMAGE io.cri-containerd.pinned=pinned",
		},
		On:      workflow.Nodes,
		Needs:   []string{"images", "kubelet"},
		Enabled: func(c *config.Cluster) bool { return len(c.Addons) > 0 },
		Do: func(ctx context.Context, s *workflow.Step) error {
			var wanted []bundle.Image
			for _, a := range s.Cluster().Addons {
				wanted = append(wanted, imagesOf(s, a.Name)...)
			}
			return importImages(ctx, s, wanted)
		},
	}
}

// importEtcd imports all that a host needs that runs etcd, and is not a node.
func importEtcd(ctx context.Context, s *workflow.Step) error {
	var wanted []bundle.Image
	for _, repository := range []string{"registry.k8s.io/pause", "registry.k8s.io/etcd"} {
		image, err := s.Bundle().Image(repository, s.Facts().Arch)
		if err != nil {
			return err
		}
		wanted = append(wanted, image)
	}
	return importImages(ctx, s, wanted)
}

// imagesOf imports the images of an addon that the role of the host needs; with
// "" those of every cluster.
func imagesOf(s *workflow.Step, addon string) []bundle.Image {
	return s.Bundle().AddonImages(addon, install.Role(s.Target.Config), s.Facts().Arch)
}

func importImages(ctx context.Context, s *workflow.Step, wanted []bundle.Image) error {
	missing, err := missingImages(ctx, s, wanted)
	if err != nil || len(missing) == 0 {
		return err
	}
	// The stream is created while it is sent: neither side stores a copy.
	read, write := io.Pipe()
	defer read.Close()
	done := make(chan error, 1)
	go func() {
		err := s.Bundle().WriteImages(ctx, write, missing)
		write.CloseWithError(err)
		done <- err
	}()
	var names []string
	for _, image := range missing {
		names = append(names, image.Name)
	}
	cmd := host.Cmd{
		Name: fmt.Sprintf("import %d images: %s", len(missing), strings.Join(names, " ")),
		Argv: importArgv(s.Bundle().Version("containerd")),
		Sudo: true, Stdin: read,
	}
	if _, err := s.Run(ctx, cmd); err != nil {
		read.CloseWithError(err)
		return firstOf(<-done, err)
	}
	pin := host.Script("pin-images.sh", templates.Script("runtime/pin-images.sh"), append([]string{pinned}, names...)...)
	_, err = s.Run(ctx, pin)
	return err
}

// importArgv is the command that imports an archive of images. containerd records a
// layer as unpacked durably, without a sync of its files: after a power loss, it uses
// the empty files for ever, even if the image is imported again. With --sync-fs, it
// syncs the files first, but only for clients that unpack themselves (containerd 2,
// cmd/ctr/commands/images/import.go).
func importArgv(version string) []string {
	if strings.HasPrefix(strings.TrimPrefix(version, "v"), "1.") {
		return ctr("images", "import", "--digests=false", "-")
	}
	return ctr("images", "import", "--local", "--sync-fs", "--digests=false", "-")
}

// firstOf returns the cause: a stream that could not be created breaks the import.
func firstOf(stream, run error) error {
	if stream != nil && !strings.Contains(stream.Error(), run.Error()) {
		return fmt.Errorf("%w (%w)", run, stream)
	}
	return run
}

// missingImages returns the wanted images that the host lacks, or does not have
// pinned, with the digest of the bundle.
func missingImages(ctx context.Context, s *workflow.Step, wanted []bundle.Image) ([]bundle.Image, error) {
	res, err := s.Query(ctx, host.Cmd{Argv: ctr("images", "list"), Sudo: true, Requires: []string{service}})
	if errors.Is(err, host.ErrPlanned) {
		return wanted, nil // the plan installs or starts containerd
	}
	if err != nil {
		return nil, err
	}
	have := map[string]string{}
	for line := range strings.Lines(string(res.Stdout)) {
		// REF TYPE DIGEST SIZE PLATFORMS LABELS
		if words := strings.Fields(line); len(words) > 3 && strings.Contains(line, pinned) {
			have[words[0]] = words[2]
		}
	}
	var missing []bundle.Image
	for _, image := range wanted {
		if have[image.Name] != image.Digest {
			missing = append(missing, image)
		}
	}
	return missing, nil
}

// ctr is the client of containerd in the namespace of Kubernetes.
func ctr(args ...string) []string {
	return append([]string{install.BinDir + "/ctr", "--namespace", "k8s.io"}, args...)
}
