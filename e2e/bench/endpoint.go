package main

import (
	"bytes"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"errors"
	"net"
	"text/template"

	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/config"
)

//go:embed endpoint/*.tmpl
var endpointTemplates embed.FS

// endpoint is the data of the templates: the configuration of haproxy and keepalived on
// one control plane.
type endpoint struct {
	Address, Port, Interface string
	BindPort, RouterID       int
	Own                      config.Host
	Servers, Peers           []config.Host
	// Priority is different on each control plane.
	Priority int
}

// labInterface is the interface of a machine container.
const labInterface = "host0"

// writeEndpoint writes the files of haproxy and keepalived for each control plane, if the
// control planes share an address.
func (s *site) writeEndpoint() error {
	if !s.cluster.VirtualIP() {
		return nil
	}
	address, port, err := net.SplitHostPort(s.cluster.Endpoint(""))
	if err != nil {
		return err
	}
	planes := s.cluster.ControlPlanes()
	var errs []error
	for i, own := range planes {
		data := endpoint{
			Address: address, Port: port, Interface: labInterface,
			BindPort: s.cluster.ControlPlane.BindPort, RouterID: s.cluster.ControlPlane.LoadBalancer.VirtualRouterID,
			Own: own, Servers: planes, Priority: 150 - i,
		}
		for _, h := range planes {
			if h.Name != own.Name {
				data.Peers = append(data.Peers, h)
			}
		}
		for template, path := range map[string]string{
			"haproxy.cfg.tmpl": "etc/haproxy/haproxy.cfg", "keepalived.conf.tmpl": "etc/keepalived/keepalived.conf",
		} {
			content, err := data.render(template)
			errs = append(errs, err, s.write("endpoint/"+own.Name+"/"+path, content))
		}
	}
	return errors.Join(errs...)
}

func (data endpoint) render(name string) ([]byte, error) {
	parsed, err := template.New(name).Option("missingkey=error").ParseFS(endpointTemplates, "endpoint/"+name)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = parsed.Execute(&out, data)
	return out.Bytes(), err
}

// certificateKey encrypts the certificates that kubeadm init uploads for the other control
// planes: 32 bytes in hexadecimal, as `kubeadm certs certificate-key` prints them.
func certificateKey() string {
	key := make([]byte, 32)
	rand.Read(key) // never fails
	return hex.EncodeToString(key)
}

// withCertificateKey adds the key to the first document of a stream, the
// InitConfiguration.
func withCertificateKey(stream []byte, key string) ([]byte, error) {
	first, rest, _ := bytes.Cut(stream, []byte("---\n"))
	var document map[string]any
	if err := yaml.Unmarshal(first, &document); err != nil {
		return nil, err
	}
	document["certificateKey"] = key
	text, err := yaml.Marshal(document)
	return append(append(text, "---\n"...), rest...), err
}

// asControlPlane makes the host of a JoinConfiguration a control plane.
func asControlPlane(document []byte, address string, port int, key string) ([]byte, error) {
	var join map[string]any
	if err := yaml.Unmarshal(document, &join); err != nil {
		return nil, err
	}
	join["controlPlane"] = map[string]any{
		"certificateKey":   key,
		"localAPIEndpoint": map[string]any{"advertiseAddress": address, "bindPort": port},
	}
	return yaml.Marshal(join)
}
