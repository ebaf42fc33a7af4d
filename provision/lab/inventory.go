package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/localhost"
	templates "slipway.io/slipway/templates/lab"
)

// SharedKernel describes the kernel of localhost, for machines that share it.
type SharedKernel struct {
	// CgroupV1 reports that localhost has cgroup v1.
	CgroupV1 bool
	// NoSysResource reports that localhost lacks CAP_SYS_RESOURCE.
	NoSysResource bool
	// SharedUUID reports that localhost has a product UUID, which all machines
	// read.
	SharedUUID bool
}

// inventory is the data of templates/lab/inventory.yaml.tmpl.
type inventory struct {
	Name, KnownHostsFile string
	Endpoint, Bundle     string
	// LoadBalancer is empty unless the control planes share the endpoint.
	LoadBalancer string
	// User logs in to all machines, with IdentityFile; that is empty if each machine
	// has its own.
	User, IdentityFile string
	// Addons is the list of addons in YAML; empty for none.
	Addons string
	// Shared is nil for machines with their own kernels.
	Shared *SharedKernel
	// EvenEtcd reports an even number of control planes.
	EvenEtcd bool
	Hosts    []inventoryHost
}

type inventoryHost struct {
	Name, Address string
	Roles         []string
	// State is empty for a host that stays in the cluster.
	State string
	// IdentityFile is empty if all machines have the same.
	IdentityFile string
}

// WriteInventory writes the inventory of the lab. It keeps the states of hosts, and the
// addons unless the spec has others. shared is nil for machines with
// their own kernels.
func WriteInventory(l *Lab, spec Spec, shared *SharedKernel) error {
	before, err := config.Load(l.InventoryFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	data, err := inventoryOf(l, spec, before)
	if err != nil {
		return err
	}
	data.Shared = shared
	if data.Addons, err = addons(l, spec, before); err != nil {
		return fmt.Errorf("inventory: %w", err)
	}
	content, err := data.render()
	if err != nil {
		return fmt.Errorf("inventory: %w", err)
	}
	overlay, err := l.overlay(spec)
	if err != nil {
		return err
	}
	if content, err = merged(content, overlay); err != nil {
		return err
	}
	if _, err := config.Parse(l.InventoryFile(), content); err != nil {
		return err
	}
	if spec.Overlay != nil {
		if err := localhost.WriteFile(l.overlayFile(), spec.Overlay, 0o644); err != nil {
			return err
		}
	}
	return localhost.WriteFile(l.InventoryFile(), content, 0o644)
}

// keepStates gives each host the state that it has in the current inventory.
func (data *inventory) keepStates(before *config.Cluster) {
	planes := 0
	for i := range data.Hosts {
		h := &data.Hosts[i]
		if before != nil {
			at := slices.IndexFunc(before.Leaving, func(old config.Host) bool { return old.Name == h.Name })
			if at >= 0 {
				h.State = before.Leaving[at].State
			}
		}
		if h.State == "" && slices.Contains(h.Roles, string(config.RoleControlPlane)) {
			planes++
		}
	}
	data.EvenEtcd = planes > 0 && planes%2 == 0
}

// addons are the addons of the spec, or those of the current inventory, in YAML.
func addons(l *Lab, spec Spec, before *config.Cluster) (string, error) {
	var addons []config.Addon
	for _, name := range spec.Addons {
		a := config.Addon{Name: name}
		if name == config.AddonMetalLB {
			a.Addresses = []string{Nth(l.Subnet, poolFirst).String() + "-" + Nth(l.Subnet, poolLast).String()}
		}
		addons = append(addons, a)
	}
	if spec.Addons == nil && before != nil {
		addons = before.Addons
	}
	if len(addons) == 0 {
		return "", nil
	}
	text, err := config.MarshalAddons(addons)
	return string(text), err
}

// The addresses for MetalLB follow those of the machines.
const (
	poolFirst = 201
	poolLast  = 220
)

// inventoryOf returns the inventory of a lab. before is the current one; nil: there is
// none.
func inventoryOf(l *Lab, spec Spec, before *config.Cluster) (inventory, error) {
	data := inventory{
		Name:           l.Name,
		KnownHostsFile: filepath.Base(l.KnownHostsFile()),
	}
	switch {
	case l.Endpoint.IsValid():
		data.Endpoint, data.LoadBalancer = l.Endpoint.String(), config.LoadBalancerKeepalived
	case spec.ControlPlanes > 1:
		data.Endpoint = l.Machines[0].Address.String()
	}
	if spec.Bundle != "" {
		bundle, err := filepath.Abs(spec.Bundle)
		if err != nil {
			return inventory{}, err
		}
		data.Bundle = bundle
	}
	first := l.Machines[0]
	data.User = first.User
	own := slices.ContainsFunc(l.Machines, func(m Machine) bool { return m.IdentityFile != first.IdentityFile })
	if !own {
		data.IdentityFile = l.relative(first.IdentityFile)
	}
	for _, m := range l.Machines {
		host := inventoryHost{Name: m.Name, Address: m.Address.String()}
		if own {
			host.IdentityFile = l.relative(m.IdentityFile)
		}
		for _, role := range m.Roles {
			host.Roles = append(host.Roles, string(role))
		}
		data.Hosts = append(data.Hosts, host)
	}
	data.keepStates(before)
	return data, nil
}

// relative makes a path inside the lab's directory relative to the inventory.
func (l *Lab) relative(path string) string {
	inside, err := filepath.Rel(l.Dir, path)
	if err != nil || !filepath.IsLocal(inside) {
		return path
	}
	return filepath.ToSlash(inside)
}

func (data inventory) render() ([]byte, error) {
	parsed, err := template.New("inventory.yaml").Option("missingkey=error").Funcs(template.FuncMap{
		"quote": quote,
		"join":  strings.Join,
	}).Parse(string(templates.Inventory()))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = parsed.Execute(&out, data)
	return out.Bytes(), err
}

// quote encodes a string as JSON, which is valid YAML.
func quote(s string) (string, error) {
	quoted, err := json.Marshal(s)
	return string(quoted), err
}
