package preflight

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/addon"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
)

// observeUpgrade reads what matters for another version of a cluster that answers. What
// cannot be read is a part of it, and no failure.
func observeUpgrade(
	ctx context.Context, state *cluster.State, inventory *config.Cluster, hosts *workflow.Hosts, connect func(context.Context) (*kube.Client, error),
) *cluster.Upgrade {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	u := &cluster.Upgrade{Unread: map[string]string{}}
	client, err := connect(ctx)
	if err != nil {
		u.Err = err
		return u
	}
	// Each of them writes fields of its own.
	var group sync.WaitGroup
	group.Go(func() { u.Blocking, u.Err = client.Blocking(ctx) })
	group.Go(func() { observeMembers(ctx, u, state, hosts) })
	var mu sync.Mutex
	for _, h := range hosts.ControlPlanes() {
		if h.Facts() == nil || !h.Facts().Exists(facts.APIServerManifest) {
			continue
		}
		group.Go(func() {
			apis, err := requested(ctx, client, h, inventory.ControlPlane.BindPort)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				u.Unread[h.Config.Name] = err.Error()
			}
			u.Requested(h.Config.Name, apis)
		})
	}
	group.Wait()
	return u
}

// requested returns the deprecated APIs that were requested from the API server of a host.
func requested(ctx context.Context, client *kube.Client, h *workflow.Host, port int) ([]kube.DeprecatedAPI, error) {
	ip, err := h.NodeIP()
	if err != nil {
		return nil, err
	}
	return client.DeprecatedAPIs(ctx, h.Conn, net.JoinHostPort(ip.String(), strconv.Itoa(port)))
}

// observeMembers reads the health of etcd, wherever it runs.
func observeMembers(ctx context.Context, u *cluster.Upgrade, state *cluster.State, hosts *workflow.Hosts) {
	var members, entrances []host.Host
	for _, h := range hosts.WithLeaving().ControlPlanes() {
		f := h.Facts()
		if f == nil {
			continue
		}
		if f.Member() {
			members = append(members, h.Conn)
		}
		if f.Entrance() {
			entrances = append(entrances, h.Conn)
		}
	}
	if len(state.EtcdEndpoints) > 0 {
		u.Etcd, u.EtcdErr = kube.ReadExternalEtcdHealth(ctx, entrances, state.EtcdEndpoints)
		return
	}
	u.Etcd, u.EtcdErr = kube.ReadEtcdHealth(ctx, members)
}

// removedKind is an object in the manifests of an addon whose kind a release removes.
type removedKind struct {
	addon, kind, name, removedIn string
	// unread is why the manifest could not be read; empty if it could.
	unread string
}

// readManifests looks for kinds that a release removes in the manifests of the custom
// addons. Charts choose the kinds that a cluster serves.
func (cc *checkContext) readManifests(ctx context.Context) {
	if cc.target == "" {
		return
	}
	for _, a := range cc.cluster.CustomAddons() {
		for i, source := range a.Manifests {
			texts, err := cc.manifest(ctx, source)
			if err != nil {
				cc.manifests = append(cc.manifests, removedKind{addon: a.Name, unread: fmt.Sprintf("manifests[%d]: %v", i, err)})
			}
			for _, text := range texts {
				cc.manifests = append(cc.manifests, removedIn(a.Name, text)...)
			}
		}
	}
}

// manifest reads a file, all files of a directory, or a URL.
func (cc *checkContext) manifest(ctx context.Context, source config.ManifestSource) (texts [][]byte, err error) {
	if source.URL != "" {
		client, err := cc.credentials.Client(cc.cluster)
		if err != nil {
			return nil, err
		}
		text, err := bundle.Download(ctx, source.URL, source.URL, source.SHA256, bundle.CreateOptions{Rewrites: cc.cluster.Artifacts.Rewrites, Client: client})
		return [][]byte{text}, err
	}
	files, err := addon.Files(source.Path)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return texts, err
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// removedIn returns the objects of a manifest whose kinds a release removes. The phase that
// applies the addon reports a manifest that is no YAML.
func removedIn(addon string, text []byte) []removedKind {
	objects, err := kube.Decode(text)
	if err != nil {
		return nil
	}
	var removed []removedKind
	for _, object := range objects {
		if release := kube.RemovedIn(object.GroupVersionKind()); release != "" {
			removed = append(removed, removedKind{addon: addon, kind: object.GetKind() + " of " + object.GetAPIVersion(), name: object.GetName(), removedIn: release})
		}
	}
	return removed
}
