package config

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOverridesRejectFieldsSetBySlipway(t *testing.T) {
	t.Parallel()
	for _, o := range (Kubernetes{}).overrides() {
		o.owned["apiVersion"], o.owned["kind"] = "remove it", "remove it"
		for path, remedy := range o.owned {
			t.Run(o.field+"."+path, func(t *testing.T) {
				t.Parallel()
				if err := knows(o.shape, path); err != "" {
					t.Fatalf("no such field, so that nobody can set it: %s", err)
				}
				// null would remove the field.
				c := valid()
				setOverride(t, c, o.field, nest(strings.Split(path, "."), nil))
				want := "kubernetes." + o.field + "." + path + ": set by slipway; " + remedy
				if err := c.Validate(); err == nil || err.Error() != want {
					t.Errorf("want %s\ngot  %v", want, err)
				}
			})
		}
	}
}

func TestANullAboveAFieldSetBySlipwayIsRejected(t *testing.T) {
	t.Parallel()
	c := valid()
	c.Kubernetes.ClusterConfiguration = map[string]any{"apiServer": nil}
	want := "kubernetes.clusterConfiguration.apiServer: set by slipway; use controlPlane.certSANs"
	if err := c.Validate(); err == nil || err.Error() != want {
		t.Errorf("want %s\ngot  %v", want, err)
	}
}

func TestOverridesAreCheckedAgainstTheirTypes(t *testing.T) {
	t.Parallel()
	c := valid()
	c.Kubernetes = Kubernetes{
		Version: DefaultKubernetesVersion,
		ClusterConfiguration: map[string]any{
			"featureGate": map[string]any{},
			"scheduler":   map[string]any{"extraArgs": map[string]any{"v": "4"}},
			"etcd":        map[string]any{"local": map[string]any{"dataDirectory": "/x"}},
		},
		InitConfiguration:      map[string]any{"timeouts": map[string]any{"tlsBootstrap": "5 minutes"}},
		JoinConfiguration:      map[string]any{"skipPhases": "preflight"},
		KubeletConfiguration:   map[string]any{"authentication": map[string]any{"anonymus": map[string]any{}}, "maxPods": 1.5},
		KubeProxyConfiguration: map[string]any{"conntrack": map[string]any{"maxPerCore": "none"}, "iptables": map[string]any{"minSyncPeriod": 1}},
	}
	err := c.Validate()
	if err == nil {
		t.Fatal("all of them were accepted")
	}
	var got []string
	for line := range strings.Lines(err.Error()) {
		message, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "kubernetes."), ";")
		got = append(got, message)
	}
	want := []string{
		"clusterConfiguration.etcd.local.dataDirectory: unknown field",
		"clusterConfiguration.featureGate: unknown field",
		"clusterConfiguration.scheduler.extraArgs: must be a list, not a mapping",
		`initConfiguration.timeouts.tlsBootstrap: invalid value 5 minutes: time: unknown unit " minutes" in duration "5 minutes"`,
		`joinConfiguration.skipPhases: must be a list, not the string "preflight"`,
		"kubeletConfiguration.authentication.anonymus: unknown field",
		"kubeletConfiguration.maxPods: must be a whole number, not the number 1.5",
		`kubeProxyConfiguration.conntrack.maxPerCore: must be a whole number, not the string "none"`,
		"kubeProxyConfiguration.iptables.minSyncPeriod: must be a string, not a number",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	base := map[string]any{"a": 1, "b": map[string]any{"c": 2, "d": 3}, "l": []any{1, 2}, "m": 5}
	over := map[string]any{"a": nil, "b": map[string]any{"c": nil, "e": 4}, "l": []any{9}, "m": map[string]any{"n": nil, "o": 6}}
	before, overBefore := Merge(base, nil), Merge(over, nil)
	want := map[string]any{"b": map[string]any{"d": 3, "e": 4}, "l": []any{9}, "m": map[string]any{"o": 6}}
	if diff := cmp.Diff(want, Merge(base, over)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, base) + cmp.Diff(overBefore, over); diff != "" {
		t.Errorf("an argument was changed:\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"x": 1}, Merge(nil, map[string]any{"x": 1})); diff != "" {
		t.Errorf("over nothing (-want +got):\n%s", diff)
	}
}

// knows returns "" if the type has the field at the dotted path.
func knows(shape reflect.Type, path string) string {
	v := reflect.New(shape).Elem()
	for name := range strings.SplitSeq(path, ".") {
		if v.Kind() == reflect.Pointer {
			v = reflect.New(v.Type().Elem()).Elem()
		}
		if v.Kind() != reflect.Struct {
			return "nothing below " + v.Kind().String()
		}
		field, ok := fieldNamed(v, name)
		if !ok {
			return v.Type().String() + " has no " + name
		}
		v = field
	}
	return ""
}

func nest(path []string, value any) map[string]any {
	if len(path) == 1 {
		return map[string]any{path[0]: value}
	}
	return map[string]any{path[0]: nest(path[1:], value)}
}

func setOverride(t *testing.T, c *Cluster, field string, values map[string]any) {
	t.Helper()
	section, ok := fieldNamed(reflect.ValueOf(&c.Kubernetes).Elem(), field)
	if !ok {
		t.Fatalf("kubernetes has no %s", field)
	}
	section.Set(reflect.ValueOf(values))
}
