package standin

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"slipway.io/slipway/provision/bundle"
)

// Other is the second architecture. A bundle from source has none of its programs.
const Other = "arm64"

// Publish serves the content of a bundle as if it were released, and returns the catalogue
// of it: the built-in one with the bundle's release, and with its addons. The stand-in
// knows the servers of the whole built-in catalogue. For the architecture Other, it serves
// a program under each name. Archives are written to a directory.
func (s *Server) Publish(b *bundle.Bundle, program []byte, dir string) (bundle.Catalogue, error) {
	c, err := bundle.LoadCatalogue()
	if err != nil {
		return c, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.learn(c); err != nil {
		return c, err
	}
	manifest := b.Manifest()
	release := bundle.Release{Kubernetes: manifest.Kubernetes, Components: map[string]string{}}
	for i, component := range c.Components {
		version := b.Version(component.Files()[0])
		sums := map[string]string{}
		for arch, open := range map[string]opener{bundle.DefaultArch: filesOf(b), Other: fixed(program)} {
			if sums[arch], err = s.publishComponent(component, version, arch, open, dir); err != nil {
				return c, fmt.Errorf("%s: %w", component.Name, err)
			}
		}
		release.Components[component.Name] = version
		c.Components[i].SHA256 = map[string]map[string]string{version: sums}
	}
	addons := map[string][]bundle.ReleaseImage{}
	for _, image := range manifest.Images {
		digests, err := s.publishImage(b, image, program)
		if err != nil {
			return c, fmt.Errorf("%s: %w", image.Name, err)
		}
		published := bundle.ReleaseImage{Name: image.Name, Roles: image.Roles, Digests: digests}
		if image.Addon == "" {
			release.Images = append(release.Images, published)
		} else {
			addons[image.Addon] = append(addons[image.Addon], published)
		}
	}
	c.Releases = []bundle.Release{release}
	for i, a := range c.Addons {
		if addons[a.Name] == nil {
			continue
		}
		c.Addons[i].Images = addons[a.Name]
		for j, m := range a.Manifests {
			content, err := b.AddonFile(a.Name, m.Name)
			if err != nil {
				return c, err
			}
			s.file(strings.TrimPrefix(m.URL, "https://"), blob{content: content})
			c.Addons[i].Manifests[j].SHA256 = sum(content)
		}
	}
	return c, nil
}

// PublishPatch serves the Kubernetes of the only release in the catalogue under another
// version, which the catalogue does not list: its files, their sums beside them, its
// images, and kubeadm's constants.
func (s *Server) PublishPatch(c bundle.Catalogue, version, constants string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	release := c.Releases[0]
	for _, component := range c.Components {
		listed := release.Components[component.Name]
		if listed != release.Kubernetes {
			continue
		}
		for arch, sum := range component.SHA256[listed] {
			address := expand(component.URL, version, arch)
			s.file(address, s.files[expand(component.URL, listed, arch)])
			s.file(expand(component.Checksums, version, arch), blob{content: []byte(sum + "\n")})
		}
	}
	for _, image := range release.Images {
		if repository, ok := strings.CutSuffix(image.Name, ":"+release.Kubernetes); ok {
			host, name, _ := strings.Cut(repository, "/")
			tags := s.registries[apiHost(host)].repositories[name]
			tags[version] = tags[release.Kubernetes]
		}
	}
	s.file(expand(c.KubeadmConstants, version, ""), blob{content: []byte(constants)})
	return nil
}

// learn adds the servers of a catalogue, and a registry with the API of each one.
func (s *Server) learn(c bundle.Catalogue) error {
	addresses := []string{c.KubeadmConstants}
	var images []bundle.ReleaseImage
	for _, component := range c.Components {
		addresses = append(addresses, component.URL, component.Checksums)
	}
	for _, release := range c.Releases {
		images = append(images, release.Images...)
	}
	for _, a := range c.Addons {
		images = append(images, a.Images...)
		for _, m := range a.Manifests {
			addresses = append(addresses, m.URL)
		}
	}
	for _, address := range addresses {
		u, err := url.Parse(address)
		if err != nil {
			return err
		}
		if u.Host != "" {
			s.names[u.Host+":443"] = true
		}
	}
	all := map[string]*registry{}
	for _, image := range images {
		host, _, _ := strings.Cut(image.Name, "/")
		if all[host] != nil {
			continue
		}
		g := &registry{repositories: map[string]repository{}, blobs: map[string]blob{}}
		switch host {
		case "docker.io":
			g.login, g.tokens, g.objects = token, dockerTokens+"/token", dockerObjects
		case "ghcr.io":
			g.login, g.tokens = token, "ghcr.io/token"
		case "registry.k8s.io":
			g.objects = k8sObjects
		}
		all[host] = g
		s.registries[apiHost(host)] = g
		s.names[apiHost(host)+":443"] = true
	}
	s.registries[Mirror] = &registry{login: basic, prefix: all}
	s.names[Mirror] = true
	return nil
}

// apiHost is the server of a registry. That of docker.io has another name.
func apiHost(registry string) string {
	if registry == "docker.io" {
		return "index.docker.io"
	}
	return registry
}

func expand(address, version, arch string) string {
	address = strings.TrimPrefix(address, "https://")
	return strings.NewReplacer("{version}", strings.TrimPrefix(version, "v"), "{arch}", arch).Replace(address)
}

func sum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// opener returns the path and the content of a file of a bundle. The path may be empty.
type opener func(name string) (file string, content []byte, err error)

// fixed opens a program, whose content differs from name to name: what follows the program
// does not matter.
func fixed(program []byte) opener {
	return func(name string) (string, []byte, error) { return "", named(program, name), nil }
}

func named(program []byte, name string) []byte { return append(bytes.Clone(program), name...) }

func filesOf(b *bundle.Bundle) opener {
	return func(name string) (string, []byte, error) {
		f, err := b.File(name, bundle.DefaultArch)
		return b.Path(f), nil, err
	}
}

// publishComponent serves a component's file, and returns its sha256.
func (s *Server) publishComponent(c bundle.Component, version, arch string, open opener, dir string) (string, error) {
	address := expand(c.URL, version, arch)
	if len(c.Extract) == 0 {
		file, content, err := open(c.Name)
		if err != nil {
			return "", err
		}
		if file != "" {
			if content, err = os.ReadFile(file); err != nil {
				return "", err
			}
			s.file(address, blob{file: file})
			return sum(content), nil
		}
		s.file(address, blob{content: content})
		return sum(content), nil
	}
	target := filepath.Join(dir, arch+"-"+path.Base(address))
	digest, err := archive(target, c.Extract, open)
	if err != nil {
		return "", err
	}
	s.file(address, blob{file: target})
	return digest, nil
}

// archive writes a tar.gz archive of files (path in the archive: name), and returns its
// sha256.
func archive(target string, files map[string]string, open opener) (digest string, err error) {
	out, err := os.Create(target)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	hash := sha256.New()
	gz, err := gzip.NewWriterLevel(io.MultiWriter(out, hash), gzip.BestSpeed)
	if err != nil {
		return "", err
	}
	tw := tar.NewWriter(gz)
	var paths []string
	for p := range files {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	for _, p := range paths {
		file, content, err := open(files[p])
		if err == nil && file != "" {
			content, err = os.ReadFile(file)
		}
		if err == nil {
			err = tw.WriteHeader(&tar.Header{Name: p, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg})
		}
		if err == nil {
			_, err = tw.Write(content)
		}
		if err != nil {
			return "", err
		}
	}
	if err := errors.Join(tw.Close(), gz.Close()); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// publishImage serves an image of the bundle and one with the program for the architecture
// Other, below one index. It returns the digests of both.
func (s *Server) publishImage(b *bundle.Bundle, image bundle.Image, program []byte) (map[string]string, error) {
	host, rest, _ := strings.Cut(image.Name, "/")
	name, tag, _ := strings.Cut(rest, ":")
	g := s.registries[apiHost(host)]
	if g == nil {
		return nil, fmt.Errorf("no registry %s in the catalogue", host)
	}
	first, err := v1.NewHash(image.Digest)
	if err != nil {
		return nil, err
	}
	blobs := filepath.Join(b.Dir(), "images", "blobs", "sha256")
	raw, err := os.ReadFile(filepath.Join(blobs, first.Hex))
	if err != nil {
		return nil, err
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	for _, d := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		g.blobs[d.Digest.String()] = blob{file: filepath.Join(blobs, d.Digest.Hex)}
	}
	if m.MediaType == "" {
		m.MediaType = types.OCIManifestSchema1
	}
	second, other, err := g.program(named(program, image.Name))
	if err != nil {
		return nil, err
	}
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{
		{MediaType: m.MediaType, Size: int64(len(raw)), Digest: first, Platform: &v1.Platform{OS: "linux", Architecture: image.Arch}},
		{MediaType: types.OCIManifestSchema1, Size: int64(len(other.content)), Digest: second, Platform: &v1.Platform{OS: "linux", Architecture: Other}},
	}}
	text, err := json.Marshal(index)
	if err != nil {
		return nil, err
	}
	if g.repositories[name] == nil {
		g.repositories[name] = repository{}
	}
	list := manifest{types.OCIImageIndex, text}
	g.repositories[name][tag] = list
	g.repositories[name]["sha256:"+sum(text)] = list
	g.repositories[name][first.String()] = manifest{m.MediaType, raw}
	g.repositories[name][second.String()] = other
	return map[string]string{image.Arch: first.String(), Other: second.String()}, nil
}

// program adds the blobs of an image that is nothing but a program, and returns its
// manifest.
func (g *registry) program(content []byte) (v1.Hash, manifest, error) {
	var layer bytes.Buffer
	tw := tar.NewWriter(&layer)
	err := errors.Join(
		tw.WriteHeader(&tar.Header{Name: "program", Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}),
		write(tw, content), tw.Close())
	if err != nil {
		return v1.Hash{}, manifest{}, err
	}
	packed, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return v1.Hash{}, manifest{}, err
	}
	image, err := mutate.ConfigFile(mutate.MediaType(empty.Image, types.OCIManifestSchema1), &v1.ConfigFile{
		OS: "linux", Architecture: Other, RootFS: v1.RootFS{Type: "layers"}, Config: v1.Config{Entrypoint: []string{"/program"}},
	})
	if err != nil {
		return v1.Hash{}, manifest{}, err
	}
	if image, err = mutate.AppendLayers(mutate.ConfigMediaType(image, types.OCIConfigJSON), packed); err != nil {
		return v1.Hash{}, manifest{}, err
	}
	config, err1 := image.RawConfigFile()
	raw, err2 := image.RawManifest()
	digest, err3 := image.Digest()
	compressed, err4 := packed.Compressed()
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return v1.Hash{}, manifest{}, err
	}
	data, err := io.ReadAll(compressed)
	if err != nil {
		return v1.Hash{}, manifest{}, err
	}
	g.blobs["sha256:"+sum(config)] = blob{content: config}
	g.blobs["sha256:"+sum(data)] = blob{content: data}
	return digest, manifest{types.OCIManifestSchema1, raw}, nil
}

func write(w io.Writer, content []byte) error {
	_, err := w.Write(content)
	return err
}
