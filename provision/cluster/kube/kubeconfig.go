package kube

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// DefaultKubeconfig returns the file that kubectl writes to: the first one of
// $KUBECONFIG, else ~/.kube/config.
func DefaultKubeconfig() (string, error) {
	for _, path := range filepath.SplitList(os.Getenv("KUBECONFIG")) {
		if path != "" {
			return path, nil
		}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("kubeconfig: %w", err)
	}
	return filepath.Join(home, ".kube", "config"), nil
}

// userName is the name of a cluster's administrator in a kubeconfig.
func userName(cluster string) string { return cluster + "-admin" }

// Rewrite returns a kubeconfig with the current context of an admin.conf, renamed
// to name (cluster and context) and NAME-admin (user). server
// ("https://host:port") replaces the API server's address unless it is empty.
func Rewrite(adminConf []byte, server, name string) ([]byte, error) {
	config, err := clientcmd.Load(adminConf)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	cluster, user, err := current(config)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	if server != "" {
		cluster.Server = server
	}
	rewritten := api.NewConfig()
	rewritten.Clusters[name] = cluster
	rewritten.AuthInfos[userName(name)] = user
	rewritten.Contexts[name] = &api.Context{Cluster: name, AuthInfo: userName(name)}
	rewritten.CurrentContext = name
	return clientcmd.Write(*rewritten)
}

// current returns the cluster and the user of the current context.
func current(config *api.Config) (*api.Cluster, *api.AuthInfo, error) {
	context := config.Contexts[config.CurrentContext]
	if context == nil {
		return nil, nil, fmt.Errorf("no current context %q", config.CurrentContext)
	}
	cluster, user := config.Clusters[context.Cluster], config.AuthInfos[context.AuthInfo]
	if cluster == nil || user == nil {
		return nil, nil, errors.New("the current context names a cluster or user that does not exist")
	}
	return cluster, user, nil
}
