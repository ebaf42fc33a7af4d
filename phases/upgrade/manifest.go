package upgrade

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/cluster/kubeadm"
)

// components are the static pods of a control plane, in the order in which they restart:
// the API server needs the etcd of its host, and the others need an API server.
var components = []string{etcd, apiServer, "kube-controller-manager", "kube-scheduler"}

const (
	etcd      = "etcd"
	apiServer = "kube-apiserver"
)

// manifestPath returns the path of the manifest of a static pod.
func manifestPath(component string) string {
	return kubeadm.ManifestsDir + "/" + component + ".yaml"
}

// manifestPaths returns those of all components.
func manifestPaths() []string {
	paths := make([]string, len(components))
	for i, component := range components {
		paths[i] = manifestPath(component)
	}
	return paths
}

// manifestChange is a static pod whose manifest differs from what kubeadm would write.
type manifestChange struct {
	component    string
	have, wanted []byte
}

// manifestChanges returns the static pods to restart, in order. A component that the host
// does not have stays away: etcd may run elsewhere.
func (f files) manifestChanges() ([]manifestChange, error) {
	var changes []manifestChange
	for _, component := range components {
		have, exists := f.have[manifestPath(component)]
		wanted, rendered := f.wanted[component+".yaml"]
		if !exists || !rendered {
			continue
		}
		wanted, err := carryOver(have, wanted)
		if err != nil {
			return nil, fmt.Errorf("the manifest of %s: %w", component, err)
		}
		if !sameDocument(have, wanted) {
			changes = append(changes, manifestChange{component, have, wanted})
		}
	}
	return changes, nil
}

// proxyVariable is the name of a variable that kubeadm takes from its environment.
var proxyVariable = regexp.MustCompile(`(?i)^[a-z]*_proxy$`)

// initialFlags are those of etcd that count only when a member starts for the first time:
// what kubeadm renders is right for a cluster of one.
var initialFlags = []string{"--initial-cluster", "--initial-cluster-state"}

// carryOver returns a rendered manifest with what kubeadm cannot know: the members with
// which etcd started for the first time, and the proxy of the environment of its first run.
// If the existing manifest cannot be read, there is nothing to carry over.
func carryOver(have, rendered []byte) ([]byte, error) {
	var old, pod map[string]any
	if err := yaml.Unmarshal(rendered, &pod); err != nil {
		return nil, err
	}
	if yaml.Unmarshal(have, &old) != nil {
		return rendered, nil
	}
	from, to := container(old), container(pod)
	if from == nil || to == nil {
		return rendered, nil
	}
	if flags := initialOf(from); len(flags) > 0 {
		to["command"] = withInitial(to, flags)
	}
	if env := proxyOf(from); len(env) > 0 {
		list, _ := to["env"].([]any)
		to["env"] = append(list, env...)
	}
	return yaml.Marshal(pod)
}

// container returns the container of a static pod, or nil.
func container(pod map[string]any) map[string]any {
	spec, _ := pod["spec"].(map[string]any)
	list, _ := spec["containers"].([]any)
	if len(list) == 0 {
		return nil
	}
	first, _ := list[0].(map[string]any)
	return first
}

// isInitial reports whether an argument is one of initialFlags.
func isInitial(arg any) bool {
	text, _ := arg.(string)
	name, _, _ := strings.Cut(text, "=")
	return slices.Contains(initialFlags, name)
}

// initialOf returns the initialFlags of a container.
func initialOf(from map[string]any) []any {
	command, _ := from["command"].([]any)
	return slices.DeleteFunc(slices.Clone(command), func(arg any) bool { return !isInitial(arg) })
}

// withInitial returns the command of a container with these flags, at the place of its own.
func withInitial(to map[string]any, flags []any) []any {
	command, _ := to["command"].([]any)
	at := slices.IndexFunc(command, isInitial)
	if at < 0 {
		return command
	}
	rest := slices.DeleteFunc(slices.Clone(command[at:]), isInitial)
	return slices.Concat(command[:at], flags, rest)
}

// proxyOf returns the proxy variables of a container.
func proxyOf(from map[string]any) []any {
	env, _ := from["env"].([]any)
	return slices.DeleteFunc(slices.Clone(env), func(entry any) bool {
		variable, _ := entry.(map[string]any)
		name, _ := variable["name"].(string)
		return !proxyVariable.MatchString(name)
	})
}
