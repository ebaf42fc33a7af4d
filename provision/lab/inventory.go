package lab

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	templates "slipway.io/slipway/templates/lab"
)

// inventory is the data of templates/lab/inventory.yaml.tmpl.
type inventory struct {
	Name, User                   string
	IdentityFile, KnownHostsFile string
	Endpoint, Bundle             string
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
