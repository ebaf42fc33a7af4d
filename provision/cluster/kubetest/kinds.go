package kubetest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// kind is a resource that the server serves.
type kind struct {
	group, version, resource, kind string
	namespaced                     bool
}

func builtin() []kind {
	return []kind{
		{"", "v1", "namespaces", "Namespace", false},
		{"", "v1", "nodes", "Node", false},
		{"", "v1", "pods", "Pod", true},
		{"", "v1", "services", "Service", true},
		{"", "v1", "secrets", "Secret", true},
		{"", "v1", "configmaps", "ConfigMap", true},
		{"", "v1", "serviceaccounts", "ServiceAccount", true},
		{"", "v1", "persistentvolumes", "PersistentVolume", false},
		{"", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", true},
		{"", "v1", "replicationcontrollers", "ReplicationController", true},
		{"", "v1", "events", "Event", true},
		{"apps", "v1", "daemonsets", "DaemonSet", true},
		{"apps", "v1", "deployments", "Deployment", true},
		{"apps", "v1", "statefulsets", "StatefulSet", true},
		{"apps", "v1", "replicasets", "ReplicaSet", true},
		{"policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", true},
		{"autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", true},
		{"coordination.k8s.io", "v1", "leases", "Lease", true},
		{"networking.k8s.io", "v1", "ingresses", "Ingress", true},
		{"networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", true},
		{"storage.k8s.io", "v1", "storageclasses", "StorageClass", false},
		{"rbac.authorization.k8s.io", "v1", "roles", "Role", true},
		{"rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", true},
		{"rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", false},
		{"rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", false},
		{"apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", false},
	}
}

func (k kind) base() string {
	if k.group == "" {
		return "/api/" + k.version
	}
	return "/apis/" + k.group + "/" + k.version
}

func (k kind) apiVersion() string {
	if k.group == "" {
		return k.version
	}
	return k.group + "/" + k.version
}

// pathOf is the API path of an object.
func (s *Server) pathOf(object Object) (string, error) {
	metadata, _ := object["metadata"].(Object)
	for _, k := range s.kinds {
		if k.apiVersion() != object["apiVersion"] || k.kind != object["kind"] {
			continue
		}
		if !k.namespaced {
			return fmt.Sprintf("%s/%s/%s", k.base(), k.resource, metadata["name"]), nil
		}
		return fmt.Sprintf("%s/namespaces/%s/%s/%s", k.base(), metadata["namespace"], k.resource, metadata["name"]), nil
	}
	return "", fmt.Errorf("kubetest: unknown kind %v %v", object["apiVersion"], object["kind"])
}

// discover answers /readyz, /api, /apis and the lists of resources below them.
func (s *Server) discover(w http.ResponseWriter, path string) bool {
	switch path {
	case "/readyz":
		_, _ = w.Write([]byte("ok"))
		return true
	case "/api":
		Answer(w, http.StatusOK, Object{"kind": "APIVersions", "versions": []string{"v1"}})
		return true
	case "/apis":
		Answer(w, http.StatusOK, Object{"apiVersion": "v1", "kind": "APIGroupList", "groups": s.groups()})
		return true
	}
	var resources []Object
	for _, k := range s.kinds {
		if k.base() == path {
			resources = append(resources, Object{
				"name": k.resource, "singularName": strings.ToLower(k.kind), "kind": k.kind, "namespaced": k.namespaced,
				"verbs": []string{"create", "delete", "get", "list", "patch", "update"},
			})
		}
	}
	if resources == nil {
		return false
	}
	version := strings.TrimPrefix(strings.TrimPrefix(path, "/apis/"), "/api/")
	Answer(w, http.StatusOK, Object{
		"apiVersion": "v1", "kind": "APIResourceList", "groupVersion": version, "resources": resources,
	})
	return true
}

func (s *Server) groups() []Object {
	var groups []Object
	var seen []string
	for _, k := range s.kinds {
		if k.group == "" || slices.Contains(seen, k.group) {
			continue
		}
		seen = append(seen, k.group)
		version := Object{"groupVersion": k.apiVersion(), "version": k.version}
		groups = append(groups, Object{"name": k.group, "versions": []Object{version}, "preferredVersion": version})
	}
	return groups
}

// serveCRD serves the kinds of a CustomResourceDefinition, in place of the
// controller that establishes it.
func (s *Server) serveCRD(crd Object) {
	spec, _ := crd["spec"].(Object)
	names, _ := spec["names"].(Object)
	versions, _ := spec["versions"].([]any)
	for _, item := range versions {
		version, _ := item.(Object)
		s.kinds = append(s.kinds, kind{
			group: fmt.Sprint(spec["group"]), version: fmt.Sprint(version["name"]),
			resource: fmt.Sprint(names["plural"]), kind: fmt.Sprint(names["kind"]), namespaced: spec["scope"] == "Namespaced",
		})
	}
	crd["status"] = Object{"conditions": []any{Object{"type": "Established", "status": "True"}}}
}
