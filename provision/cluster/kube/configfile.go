package kube

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"slipway.io/slipway/provision/localhost"
)

// configFile is a kubeconfig file while it is edited.
type configFile struct {
	// path has no symbolic links: the file is replaced, not the link.
	path string
	// content is the file before the edit; nil if it did not exist.
	content  []byte
	original *api.Config
	config   *api.Config
}

// openConfig reads a kubeconfig file under kubectl's lock, a file beside it
// named *.lock (clientcmd.ModifyConfig). A missing file is an empty one.
func openConfig(path string) (*configFile, error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	f := &configFile{path: path}
	lock, err := os.OpenFile(f.lockPath(), os.O_CREATE|os.O_EXCL, 0)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("kubeconfig %s is locked by another program; if none is running, remove %s", path, f.lockPath())
	}
	if err != nil {
		return nil, fmt.Errorf("lock kubeconfig: %w", err)
	}
	lock.Close()
	if err := f.load(); err != nil {
		f.unlock()
		return nil, err
	}
	return f, nil
}

func (f *configFile) lockPath() string { return f.path + ".lock" }

func (f *configFile) unlock() { os.Remove(f.lockPath()) }

func (f *configFile) load() (err error) {
	f.content, err = os.ReadFile(f.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	if f.config, err = clientcmd.Load(f.content); err != nil {
		return fmt.Errorf("kubeconfig %s: %w", f.path, err)
	}
	f.original = f.config.DeepCopy()
	return nil
}

// save writes the file if its meaning has changed.
func (f *configFile) save() (changed bool, err error) {
	if f.content != nil && equality.Semantic.DeepEqual(f.original, f.config) {
		return false, nil
	}
	content, err := clientcmd.Write(*f.config)
	if err != nil {
		return false, fmt.Errorf("kubeconfig %s: %w", f.path, err)
	}
	return true, writeFile(f.path, content)
}

// writeFile replaces a file that holds credentials.
func writeFile(path string, content []byte) error {
	if err := localhost.WriteFile(path, content, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
