package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"slipway.io/slipway/provision/config"
	templates "slipway.io/slipway/templates/lab"
)

// inventory is the data of templates/lab/inventory.yaml.tmpl.
type inventory struct {
	Name, User                   string
	IdentityFile, KnownHostsFile string
	Endpoint, Bundle             string
	// Addons is the list of addons in YAML; empty for none.
	Addons string
	// CgroupV1 and NoSysResource are what the outer machine cannot give.
	CgroupV1, NoSysResource bool
	// EvenEtcd: there is an even number of control planes.
	EvenEtcd bool
	// SharedUUID: the outer machine has a product UUID, which containers see.
	SharedUUID bool
	Hosts      []inventoryHost
}

type inventoryHost struct {
	Name, Address string
	Roles         []string
}

// writeInventory writes what an installer needs to know of the lab.
func (s *session) writeInventory(spec Spec) error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	data, err := inventoryOf(s.lab(), spec)
	if err != nil {
		return err
	}
	if data.Addons, err = s.addons(spec); err != nil {
		return fmt.Errorf("inventory: %w", err)
	}
	data.CgroupV1 = cgroupV1()
	_, err = os.Stat("/sys/class/dmi/id/product_uuid")
	data.SharedUUID = err == nil
	data.NoSysResource = lacksCapability(string(status), capSysResource)
	content, err := data.render()
	if err != nil {
		return fmt.Errorf("inventory: %w", err)
	}
	return writeFile(s.lab().InventoryFile(), content, 0o644)
}

// addons are those that the spec names, else those that the inventory has, in
// YAML.
func (s *session) addons(spec Spec) (string, error) {
	var addons []config.Addon
	for _, name := range spec.Addons {
		a := config.Addon{Name: name}
		if name == config.AddonMetalLB {
			a.Addresses = []string{poolOf(s.lab().Subnet)}
		}
		addons = append(addons, a)
	}
	if spec.Addons == nil {
		before, err := config.Load(s.lab().InventoryFile())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if before != nil {
			addons = before.Addons
		}
	}
	if len(addons) == 0 {
		return "", nil
	}
	text, err := config.MarshalAddons(addons)
	return string(text), err
}

// The addresses of a lab's load balancer, above those of the machines.
const (
	poolFirst = 201
	poolLast  = 220
)

// poolOf are the load balancer's addresses in the lab's subnet.
func poolOf(subnet netip.Prefix) string {
	address := func(last byte) netip.Addr {
		bytes := subnet.Masked().Addr().As4()
		bytes[3] = last
		return netip.AddrFrom4(bytes)
	}
	return address(poolFirst).String() + "-" + address(poolLast).String()
}

func inventoryOf(l *Lab, spec Spec) (inventory, error) {
	data := inventory{
		Name: l.Name, User: User,
		IdentityFile:   filepath.Base(l.IdentityFile()),
		KnownHostsFile: filepath.Base(l.KnownHostsFile()),
		Endpoint:       spec.Endpoint,
		EvenEtcd:       spec.ControlPlanes > 0 && spec.ControlPlanes%2 == 0,
	}
	if data.Endpoint == "" && spec.ControlPlanes > 1 {
		data.Endpoint = l.Machines[0].Address.String()
	}
	if spec.Bundle != "" {
		bundle, err := filepath.Abs(spec.Bundle)
		if err != nil {
			return inventory{}, err
		}
		data.Bundle = bundle
	}
	for _, m := range l.Machines {
		host := inventoryHost{Name: m.Name, Address: m.Address.String()}
		for _, role := range m.Roles {
			host.Roles = append(host.Roles, string(role))
		}
		data.Hosts = append(data.Hosts, host)
	}
	return data, nil
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

// quote writes a string as JSON, which YAML reads as it is.
func quote(s string) (string, error) {
	quoted, err := json.Marshal(s)
	return string(quoted), err
}
