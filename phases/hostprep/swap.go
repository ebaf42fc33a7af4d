package hostprep

import (
	"bytes"
	"context"
	"strings"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

const (
	fstab         = "/etc/fstab"
	zramGenerator = "/etc/systemd/zram-generator.conf"
	// commentedOut is the prefix of a line of /etc/fstab that reset restores.
	commentedOut = "# slipway: swap off: "
)

// SwapOff turns swap off permanently, each kind with its own mechanism.
func SwapOff() workflow.Phase {
	return workflow.Phase{
		Name:  "swap-off",
		Title: "turn swap off permanently",
		Why: "kubelet does not start while swap is on (failSwapOn). /etc/fstab, the swap units of systemd and zram " +
			"each turn it on again at the next boot.",
		Manual: []string{
			"swapoff -a",
			"sed -i '/\\sswap\\s/s/^/# /' /etc/fstab",
			"systemctl mask SWAP_UNIT    # each of: systemctl list-units --type=swap",
			"touch /etc/systemd/zram-generator.conf    # if zram-generator is installed",
		},
		On:    workflow.EachHost,
		Needs: []string{"lock"},
		Done: func(_ context.Context, s *workflow.Step) (bool, error) {
			wanted, set := s.Cluster().Kubernetes.KubeletConfiguration["failSwapOn"].(bool)
			return s.Facts().Swap.Off() || set && !wanted, nil
		},
		Do: swapOff,
	}
}

func swapOff(ctx context.Context, s *workflow.Step) error {
	swap := s.Facts().Swap
	if len(swap.Fstab) > 0 {
		content, err := s.ReadFile(ctx, fstab)
		if err != nil {
			return err
		}
		if _, err := host.EnsureFiles(ctx, s, host.File{Path: fstab, Content: withoutSwap(content)}); err != nil {
			return err
		}
	}
	if len(swap.Zram) > 0 {
		file := host.File{Path: zramGenerator, Content: templates.File("hostprep/zram-generator.conf")}
		if _, err := host.EnsureFiles(ctx, s, file); err != nil {
			return err
		}
	}
	for _, device := range swap.Active {
		cmd := host.Cmd{Argv: []string{"swapoff", device}, Undo: []string{"swapon", device}, Sudo: true}
		if _, err := s.Run(ctx, cmd); err != nil {
			return err
		}
	}
	if _, err := s.Run(ctx, host.Cmd{Argv: []string{"systemctl", "daemon-reload"}, Sudo: true}); err != nil {
		return err
	}
	return maskUnits(ctx, s)
}

// maskUnits masks the swap units that remain after those that systemd generates
// from /etc/fstab are gone.
func maskUnits(ctx context.Context, s *workflow.Step) error {
	list := []string{"systemctl", "list-units", "--all", "--plain", "--no-legend", "--type=swap"}
	res, err := s.Query(ctx, host.Cmd{Argv: list})
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(res.Stdout)) {
		words := strings.Fields(line)
		if len(words) < 2 || words[1] != "loaded" {
			continue
		}
		cmd := host.Cmd{
			Argv: []string{"systemctl", "mask", "--now", words[0]},
			Undo: []string{"systemctl", "unmask", words[0]},
			Sudo: true,
		}
		if _, err := s.Run(ctx, cmd); err != nil {
			return err
		}
	}
	return nil
}

// withoutSwap comments out the swap lines of an fstab.
func withoutSwap(content []byte) []byte {
	var out bytes.Buffer
	for line := range bytes.Lines(content) {
		words := bytes.Fields(line)
		if len(words) > 2 && !bytes.HasPrefix(words[0], []byte("#")) && string(words[2]) == "swap" {
			out.WriteString(commentedOut)
		}
		out.Write(line)
	}
	return out.Bytes()
}
