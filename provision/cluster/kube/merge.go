package kube

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// MergeOptions tune a Merge.
type MergeOptions struct {
	// SetCurrent selects the cluster's context as the current one. So does Merge
	// if there is no current context.
	SetCurrent bool
	// Force replaces entries of the same name that belong to another cluster.
	Force bool
}

// MergeResult is what a Merge did.
type MergeResult struct {
	// Changed: the file has been written.
	Changed bool
	// Backup is a copy of the previous file, which exists only if Force has
	// replaced the entries of another cluster: otherwise nothing is lost.
	Backup string
}

// NameTakenError: an entry of the kubeconfig has that name and belongs to another
// cluster, one with another certificate authority.
type NameTakenError struct {
	// Path is the file, Name the entry's name, Server its API server (empty if
	// unknown).
	Path, Name, Server string
}

func (e *NameTakenError) Error() string {
	other := "another cluster"
	if e.Server != "" {
		other += " (" + e.Server + ")"
	}
	return fmt.Sprintf("%s: %q already exists for %s", e.Path, e.Name, other)
}

// Merge adds the cluster of a kubeconfig from Rewrite to the file at path, which
// need not exist, and keeps the file's other entries. The file is replaced in one
// step, with mode 0600, under kubectl's lock. If an entry of the same name belongs
// to another cluster, the error is a *NameTakenError.
func Merge(path string, kubeconfig []byte, options MergeOptions) (MergeResult, error) {
	added, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return MergeResult{}, fmt.Errorf("read kubeconfig: %w", err)
	}
	if _, _, err := current(added); err != nil {
		return MergeResult{}, fmt.Errorf("read kubeconfig: %w", err)
	}
	file, err := openConfig(path)
	if err != nil {
		return MergeResult{}, err
	}
	defer file.unlock()
	var result MergeResult
	if err := file.checkNames(added); err != nil {
		if !options.Force {
			return result, err
		}
		result.Backup = file.path + ".slipway-backup"
		if err := writeFile(result.Backup, file.content); err != nil {
			return MergeResult{}, err
		}
		delete(file.config.Contexts, added.CurrentContext)
	}
	file.add(added)
	if options.SetCurrent || file.config.CurrentContext == "" {
		file.config.CurrentContext = added.CurrentContext
	}
	result.Changed, err = file.save()
	return result, err
}

// Remove removes a cluster that Merge added from the file at path: its context,
// and its cluster and user unless another context uses them. A context of that
// name that Merge did not add stays.
func Remove(path, name string) (changed bool, err error) {
	if _, err := os.Stat(path); os.IsNotExist(err) {
		return false, nil
	}
	file, err := openConfig(path)
	if err != nil {
		return false, err
	}
	defer file.unlock()
	context := file.config.Contexts[name]
	if context == nil || context.Cluster != name || context.AuthInfo != userName(name) {
		return false, nil
	}
	delete(file.config.Contexts, name)
	clusterUsed, userUsed := false, false
	for _, other := range file.config.Contexts {
		clusterUsed = clusterUsed || other.Cluster == name
		userUsed = userUsed || other.AuthInfo == userName(name)
	}
	if !clusterUsed {
		delete(file.config.Clusters, name)
	}
	if !userUsed {
		delete(file.config.AuthInfos, userName(name))
	}
	if file.config.CurrentContext == name {
		file.config.CurrentContext = ""
	}
	return file.save()
}

// checkNames returns a *NameTakenError if the names of the added cluster belong to
// another cluster in the file.
func (f *configFile) checkNames(added *api.Config) error {
	name := added.CurrentContext
	cluster, context := f.config.Clusters[name], f.config.Contexts[name]
	taken := &NameTakenError{Path: f.path, Name: name}
	switch {
	case cluster != nil && !f.sameAuthority(cluster, added.Clusters[name]):
		taken.Server = cluster.Server
		return taken
	case context != nil && context.Cluster != name:
		if other := f.config.Clusters[context.Cluster]; other != nil {
			taken.Server = other.Server
		}
		return taken
	case cluster == nil && f.config.AuthInfos[userName(name)] != nil:
		taken.Name = userName(name)
		return taken
	default:
		return nil
	}
}

// sameAuthority compares certificate authorities: a cluster that was recreated at
// the same address has another one.
func (f *configFile) sameAuthority(theirs, ours *api.Cluster) bool {
	data := theirs.CertificateAuthorityData
	if path := theirs.CertificateAuthority; len(data) == 0 && path != "" {
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(f.path), path)
		}
		// An authority that cannot be read counts as another one.
		data, _ = os.ReadFile(path)
	}
	return len(data) > 0 && bytes.Equal(bytes.TrimSpace(data), bytes.TrimSpace(ours.CertificateAuthorityData))
}

// add adds the cluster's entries. An existing context stays, since it may name the
// user's namespace.
func (f *configFile) add(added *api.Config) {
	name := added.CurrentContext
	f.config.Clusters[name] = added.Clusters[name]
	f.config.AuthInfos[userName(name)] = added.AuthInfos[userName(name)]
	if f.config.Contexts[name] == nil {
		f.config.Contexts[name] = added.Contexts[name]
	}
}
