package kube

import (
	"io"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/host"
)

const chart = "{apiVersion: v1, kind: ConfigMap, metadata: {name: chart, namespace: kube-system}, data: {north: up}}"

func TestADryRunTriesEveryKindOfChange(t *testing.T) {
	t.Parallel()
	south := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "chart"}, Data: map[string]string{"north": "down"}}
	for name, change := range map[string]func(*testing.T, *Client) error{
		"create": func(t *testing.T, c *Client) error {
			other := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "other"}}
			_, err := c.clientset.CoreV1().ConfigMaps("kube-system").Create(t.Context(), other, metav1.CreateOptions{})
			return err
		},
		"update": func(t *testing.T, c *Client) error {
			_, err := c.clientset.CoreV1().ConfigMaps("kube-system").Update(t.Context(), south, metav1.UpdateOptions{})
			return err
		},
		"patch": func(t *testing.T, c *Client) error {
			_, err := c.clientset.CoreV1().ConfigMaps("kube-system").Patch(t.Context(), "chart", types.MergePatchType,
				[]byte(`{"data": {"north": "down"}}`), metav1.PatchOptions{})
			return err
		},
		"apply": func(t *testing.T, c *Client) error {
			_, err := c.Apply(t.Context(), []byte(strings.Replace(chart, "up", "down", 1)))
			return err
		},
		"delete": func(t *testing.T, c *Client) error {
			return c.clientset.CoreV1().ConfigMaps("kube-system").Delete(t.Context(), "chart", metav1.DeleteOptions{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := kubetest.New(t)
			server.Put(chart)
			if err := change(t, dryRunClient(t, server)); err != nil {
				t.Fatal(err)
			}
			if len(server.Requests()) == 0 {
				t.Error("the server was not asked")
			}
			const path = "/api/v1/namespaces/kube-system/configmaps/"
			data, _ := server.Get(path + "chart")["data"].(kubetest.Object)
			if data["north"] != "up" || server.Get(path+"other") != nil {
				t.Errorf("the dry run has changed the cluster: %v", data)
			}
		})
	}
}

func TestADryRunRefusesRequestsThatItCannotTry(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		t.Errorf("sent: %s %s", r.Method, r.URL)
		return false
	})
	client := dryRunClient(t, server)
	for name, act := range map[string]func() error{
		"exec": func() error {
			_, _, err := client.Exec(t.Context(), "default", "probe", "main", []string{"reboot"}, nil)
			return err
		},
		"port-forward": func() error {
			return client.Forward(t.Context(), "default", "probe", 0, 80, func(int) {})
		},
		"a pod's proxy": func() error {
			return client.clientset.CoreV1().RESTClient().Post().AbsPath("/api/v1/namespaces/a/pods/b/proxy/shutdown").Do(t.Context()).Error()
		},
		"a node's proxy": func() error {
			return client.clientset.CoreV1().RESTClient().Get().AbsPath("/api/v1/nodes/n/proxy/run/a").Do(t.Context()).Error()
		},
		"a service account's token": func() error {
			return client.clientset.CoreV1().RESTClient().Post().AbsPath("/api/v1/namespaces/a/serviceaccounts/b/token").Do(t.Context()).Error()
		},
	} {
		// client-go does not wrap the error of a port-forward.
		if err := act(); err == nil || !strings.Contains(err.Error(), host.ErrPlanned.Error()) {
			t.Errorf("%s: got %v, want %v", name, err, host.ErrPlanned)
		}
	}
}

func TestADryRunSendsEvictionsAndObjectsWithMisleadingNames(t *testing.T) {
	t.Parallel()
	var sent []string
	transport := dryRunTransport(roundTripper{roundTrip: func(r *http.Request) (*http.Response, error) {
		sent = append(sent, r.URL.Path)
		if r.URL.Query().Get("dryRun") != "All" {
			t.Errorf("%s is no dry run", r.URL)
		}
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(""))}, nil
	}})
	for _, path := range []string{
		"/api/v1/namespaces/a/pods/b/eviction", "/api/v1/namespaces/proxy/pods", "/api/v1/namespaces/token",
		"/api/v1/namespaces/a/pods/exec", "/apis/apps/v1/namespaces/a/deployments/proxy",
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://192.0.2.1"+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		response.Body.Close()
	}
	if len(sent) != 5 {
		t.Errorf("sent %q", sent)
	}
}
