package endpoint

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"slipway.io/slipway/templates"
)

// check runs check.bash as keepalived does, and reports whether it succeeds.
func check(t *testing.T, args ...string) bool {
	t.Helper()
	script := filepath.Join(t.TempDir(), "check")
	if err := os.WriteFile(script, templates.File("endpoint/check.bash"), 0o600); err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(t.Context(), "bash", append([]string{script}, args...)...).Run() == nil
}

// state is a haproxy that answers with these status codes, by path. It returns its port.
func state(t *testing.T, codes map[string]int) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(codes[r.URL.Path]) }))
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestAControlPlaneMayHoldTheAddress(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		code int
		may  bool
	}{
		"if its API server is ready":                {200, true},
		"but not if it is not ready":                {503, false},
		"but not if haproxy answers something else": {500, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := state(t, map[string]int{"/api-server": test.code})
			// Also after many calls, and after a boot, which leaves no state behind.
			for range 4 {
				if got := check(t, "may-hold", port); got != test.may {
					t.Errorf("it may: %v", got)
				}
			}
			if !check(t, "may-hold", port, "alone") {
				t.Error("the only control plane may not")
			}
		})
	}
}

func TestKubeletIsChecked(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]bool{200: true, 503: false} {
		if got := check(t, "kubelet", state(t, map[string]int{"/kubelet": code, "/api-server": 200})); got != want {
			t.Errorf("%d: %v", code, got)
		}
	}
}

func TestAHAProxyThatDoesNotAnswerFailsTheChecks(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	_ = listener.Close()
	if check(t, "kubelet", port) || check(t, "may-hold", port) {
		t.Error("a check succeeds")
	}
}

func TestAHostHoldsItsAddresses(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ip"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	for address, want := range map[string]bool{"127.0.0.1": true, "192.0.2.100": false} {
		if got := check(t, "holds", address); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}
