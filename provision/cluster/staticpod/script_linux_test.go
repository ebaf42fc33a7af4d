package staticpod_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/templates"
)

// fakeCtr is a containerd with the containers a, b and c in the files of a directory. It
// logs signals, and a container that has one of these ends.
const fakeCtr = `
case "$3 $4" in
"containers list") echo "$6" >>"$STATE/filters"; printf 'a\nb\nc\n' ;;
"tasks list")
	printf 'TASK    PID    STATUS    \n'
	for id in a b c other; do [ ! -e "$STATE/$id" ] || printf '%s    1    %s\n' "$id" "$(cat "$STATE/$id")"; done ;;
"tasks kill")
	echo "$6 $7" >>"$STATE/signals"
	! grep -q "$6" "$STATE/ends" || rm "$STATE/$7" ;;
esac`

// run runs the script with these tasks and their states.
func run(t *testing.T, tasks map[string]string, kubelet string, args ...string) (state string, out string, err error) {
	t.Helper()
	state = t.TempDir()
	tasks["ends"] = "SIGTERM"
	for name, content := range tasks {
		if err := os.WriteFile(filepath.Join(state, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	local := hosttest.Local{Env: []string{
		hosttest.Programs(t, map[string]string{"ctr": fakeCtr, "systemctl": kubelet}), "STATE=" + state,
	}}
	text := strings.ReplaceAll(string(templates.Script("staticpod/staticpod.sh")), "/usr/local/bin/ctr", "ctr")
	res, err := local.Run(t.Context(), host.Script("staticpod.sh", []byte(text), args...))
	return state, string(res.Stdout), err
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(content)
}

func TestTheScriptListsTheRunningContainersOfTheStaticPod(t *testing.T) {
	t.Parallel()
	state, out, err := run(t, map[string]string{"a": "RUNNING", "b": "STOPPED", "other": "RUNNING"}, "", "list", "etcd")
	if err != nil || out != "a\n" {
		t.Errorf("got %q, %v", out, err)
	}
	want := `labels."io.kubernetes.pod.namespace"=="kube-system",labels."io.kubernetes.container.name"=="etcd",labels."io.kubernetes.pod.uid"~="^[0-9a-f]+$"` + "\n"
	if diff := cmp.Diff(want, read(t, state+"/filters")); diff != "" {
		t.Error(diff)
	}
}

func TestTheScriptStopsOnlyTheGivenContainers(t *testing.T) {
	t.Parallel()
	state, _, err := run(t, map[string]string{"a": "RUNNING", "b": "RUNNING"}, "", "stop", "etcd", "a", "c")
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, state+"/signals"); got != "SIGTERM a\n" {
		t.Errorf("signals: %q", got)
	}
}

// Without kubelet, nothing would start the container again.
func TestTheScriptStopsNothingWithoutKubelet(t *testing.T) {
	t.Parallel()
	state, _, err := run(t, map[string]string{"a": "RUNNING"}, "exit 3", "stop", "etcd", "a")
	if err == nil || !strings.Contains(err.Error(), "kubelet does not run, which would start etcd again") || read(t, state+"/signals") != "" {
		t.Errorf("signals %q, %v", read(t, state+"/signals"), err)
	}
}
