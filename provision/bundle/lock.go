package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	kyaml "sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/localhost"
)

// LockKind is the kind of a lock file.
const LockKind = "Lock"

// lockHeader is the comment at the top of a lock file.
const lockHeader = "# What slipway downloaded first, by slipway. Commit this file beside the inventory: later downloads must be the same.\n"

// LockFile returns the path of an inventory's lock file: lab.lock.yaml for lab.yaml.
func LockFile(inventory string) string {
	return strings.TrimSuffix(inventory, filepath.Ext(inventory)) + ".lock.yaml"
}

// Lock pins what was downloaded first: sums of files that the catalogue does not hold are trusted on first use, and
// images whose tag was moved afterwards are noticed.
type Lock struct {
	// path of the file; empty if nothing is recorded.
	path string

	APIVersion string `json:"apiVersion" yaml:"apiVersion"`
	Kind       string `json:"kind"`
	// Files holds the sha256 of each downloaded file, by its URL at the release server.
	Files map[string]string `json:"files,omitempty"`
	// Images holds the digests of image manifests by the image's full reference and the architecture.
	Images map[string]map[string]string `json:"images,omitempty"`
}

// PinError reports that a file or an image differs from the one in the lock file.
type PinError struct {
	// Lock is the path of the lock file, Name the URL of the file, or the image and its architecture.
	Lock, Name string
	// Want is the sum in the lock file.
	Want, Got string
}

func (e *PinError) Error() string {
	return fmt.Sprintf("%s is not the one that was downloaded first: %s pins %s, got %s; find out who replaced it, and if "+
		"that is intended, delete its line in %s", e.Name, e.Lock, e.Want, e.Got, filepath.Base(e.Lock))
}

// OpenLock reads a lock file. A file that does not exist pins nothing, and so does an empty path.
func OpenLock(path string) (*Lock, error) {
	l := &Lock{path: path}
	if path != "" {
		data, err := os.ReadFile(path)
		switch {
		case err == nil:
			d := yaml.NewDecoder(bytes.NewReader(data))
			d.KnownFields(true)
			if err = d.Decode(l); err == nil {
				err = l.validate()
			}
			if err != nil {
				return nil, fmt.Errorf("lock file %s: %w; restore it from version control, or delete it to pin the next downloads", path, err)
			}
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("lock file: %w", err)
		}
	}
	l.APIVersion, l.Kind = APIVersion, LockKind
	if l.Files == nil {
		l.Files = map[string]string{}
	}
	if l.Images == nil {
		l.Images = map[string]map[string]string{}
	}
	return l, nil
}

func (l *Lock) validate() error {
	var bad mistakes
	if l.APIVersion != APIVersion {
		bad.add("apiVersion", "is %q, must be %q", l.APIVersion, APIVersion)
	}
	if l.Kind != LockKind {
		bad.add("kind", "is %q, must be %q", l.Kind, LockKind)
	}
	for _, url := range slices.Sorted(maps.Keys(l.Files)) {
		bad.https("files", url)
		if !hexSum.MatchString(l.Files[url]) {
			bad.add("files", "%s: is %q, must be 64 hex digits", url, l.Files[url])
		}
	}
	var images []ReleaseImage
	for _, name := range slices.Sorted(maps.Keys(l.Images)) {
		images = append(images, ReleaseImage{Name: name, Digests: l.Images[name]})
	}
	bad.images("lock", images)
	return errors.Join(bad...)
}

// file returns the sum of a URL: the catalogue's, which may be empty, or else the pinned one. They must not differ.
func (l *Lock) file(url, catalogued string) (string, error) {
	pinned, ok := l.Files[url]
	if !ok {
		return catalogued, nil
	}
	if catalogued != "" && catalogued != pinned {
		return "", &PinError{Lock: l.path, Name: url, Want: "sha256:" + pinned, Got: "sha256:" + catalogued + " in the catalogue"}
	}
	return pinned, nil
}

// check compares the sum of a downloaded file with the pinned one.
func (l *Lock) check(url, got string) error {
	if pinned, ok := l.Files[url]; ok && pinned != got {
		return &PinError{Lock: l.path, Name: url, Want: "sha256:" + pinned, Got: "sha256:" + got}
	}
	return nil
}

// image is file for the digest of an image.
func (l *Lock) image(name, arch, catalogued string) (string, error) {
	pinned, ok := l.Images[name][arch]
	if !ok {
		return catalogued, nil
	}
	if catalogued != "" && catalogued != pinned {
		return "", &PinError{Lock: l.path, Name: name + " for " + arch, Want: pinned, Got: catalogued + " in the catalogue"}
	}
	return pinned, nil
}

// explain says of a download that is corrupt that the lock file pins it.
func (l *Lock) explain(err error) error {
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) {
		return err
	}
	for url, sum := range l.Files {
		if corrupt.Want == "sha256:"+sum {
			return fmt.Errorf("%w: %w", &PinError{Lock: l.path, Name: url, Want: corrupt.Want, Got: corrupt.Got}, err)
		}
	}
	for name, digests := range l.Images {
		for arch, digest := range digests {
			if corrupt.Want == digest {
				return fmt.Errorf("%w: %w", &PinError{Lock: l.path, Name: name + " for " + arch, Want: corrupt.Want, Got: corrupt.Got}, err)
			}
		}
	}
	return err
}

// Pin compares a bundle with the lock file, and adds to the file what it does not pin yet. A bundle from source has not
// been downloaded and is left out. The error joins a *PinError for each difference.
func (l *Lock) Pin(b *Bundle) error {
	if l.path == "" || b.manifest.Origin != OriginRelease {
		return nil
	}
	var errs []error
	changed := false
	for _, url := range slices.Sorted(maps.Keys(b.manifest.Downloads)) {
		got := b.manifest.Downloads[url]
		errs = append(errs, l.check(url, got))
		if _, ok := l.Files[url]; !ok {
			l.Files[url], changed = got, true
		}
	}
	for _, image := range b.manifest.Images {
		switch pinned, ok := l.Images[image.Name][image.Arch]; {
		case !ok:
			if l.Images[image.Name] == nil {
				l.Images[image.Name] = map[string]string{}
			}
			l.Images[image.Name][image.Arch], changed = image.Digest, true
		case pinned != image.Digest:
			errs = append(errs, &PinError{Lock: l.path, Name: image.Name + " for " + image.Arch, Want: pinned, Got: image.Digest})
		}
	}
	if err := errors.Join(errs...); err != nil || !changed {
		return err
	}
	text, err := kyaml.Marshal(l)
	if err != nil {
		return err
	}
	if err := localhost.WriteFile(l.path, append([]byte(lockHeader), text...), 0o644); err != nil {
		return fmt.Errorf("lock file: %w", err)
	}
	return nil
}
