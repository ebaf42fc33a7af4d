package hostprep

import (
	"context"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

// NetworkManager makes NetworkManager leave the interfaces of pods alone, where it is
// active.
func NetworkManager() workflow.Phase {
	return workflow.Phase{
		Name:  "network-manager",
		Title: "exclude the interfaces of pods from NetworkManager",
		Why: "NetworkManager, which RHEL-like systems and Raspberry Pi OS use, changes the routes of the interfaces that it " +
			"manages. The interfaces of pods and of the pod network belong to Calico or Flannel.",
		Manual: []string{
			"vi /etc/NetworkManager/conf.d/slipway.conf    # [keyfile], unmanaged-devices+=interface-name:cali*;interface-name:flannel*;interface-name:cni*;...",
			"systemctl reload NetworkManager    # a reload does not touch connections",
		},
		On:    workflow.Nodes,
		Needs: []string{"lock"},
		Done: func(_ context.Context, s *workflow.Step) (bool, error) {
			return !s.Facts().Active("NetworkManager.service"), nil
		},
		Do: excludeInterfaces,
	}
}

func excludeInterfaces(ctx context.Context, s *workflow.Step) error {
	file := host.File{Path: string(facts.NetworkManagerConf), Content: templates.File("hostprep/networkmanager.conf")}
	differing, err := s.Differs(ctx, file)
	if err != nil || len(differing) == 0 {
		return err
	}
	// Reset undoes the last change first: it reloads after it has deleted the file.
	if _, err := s.Run(ctx, host.Cmd{
		Argv: []string{"mkdir", "-p", "/etc/NetworkManager/conf.d"},
		Undo: []string{"systemctl", "reload", "NetworkManager"},
		Sudo: true,
	}); err != nil {
		return err
	}
	if err := s.WriteFiles(ctx, file); err != nil {
		return err
	}
	_, err = s.Run(ctx, host.Cmd{Argv: []string{"systemctl", "reload", "NetworkManager"}, Sudo: true})
	return err
}
