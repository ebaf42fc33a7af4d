package kube

import (
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster/kubetest"
)

func TestBootstrapTokenIsLikeThatOfKubeadm(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	client := testClient(t, server)
	start := time.Now()
	token, err := client.CreateBootstrapToken(t.Context(), 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	// k8s.io/cluster-bootstrap/token/api.BootstrapTokenPattern
	if !regexp.MustCompile(`\A([a-z0-9]{6})\.([a-z0-9]{16})\z`).MatchString(token) {
		t.Fatalf("token %q has another form", token)
	}
	id, secret, _ := strings.Cut(token, ".")
	path := "/api/v1/namespaces/kube-system/secrets/bootstrap-token-" + id
	object := server.Get(path)
	if object["type"] != "bootstrap.kubernetes.io/token" {
		t.Errorf("type %v", object["type"])
	}
	data := make(map[string]string)
	for key, value := range object["data"].(kubetest.Object) {
		text, err := base64.StdEncoding.DecodeString(value.(string))
		if err != nil {
			t.Fatal(err)
		}
		data[key] = string(text)
	}
	expires, err := time.Parse(time.RFC3339, data["expiration"])
	if err != nil {
		t.Fatal(err)
	}
	if left := expires.Sub(start); left < 9*time.Minute || left > 11*time.Minute {
		t.Errorf("expires in %s", left)
	}
	delete(data, "expiration")
	want := map[string]string{
		"token-id": id, "token-secret": secret, "description": "created by slipway to join hosts",
		"usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "false",
		"auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
	}
	if diff := cmp.Diff(want, data); diff != "" {
		t.Error(diff)
	}

	for range 2 { // the second time it is gone already
		if err := client.DeleteBootstrapToken(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	if server.Get(path) != nil {
		t.Error("the token is still there")
	}
}

func TestBootstrapTokensDiffer(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	client := testClient(t, server)
	var tokens [2]string
	for i := range tokens {
		var err error
		if tokens[i], err = client.CreateBootstrapToken(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if tokens[0] == tokens[1] {
		t.Errorf("%s twice", tokens[0])
	}
}

func TestBootstrapTokenWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	var lost atomic.Bool
	server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || lost.Swap(true) {
			return false
		}
		secret, err := kubetest.Body(r)
		if err != nil {
			t.Error(err)
		}
		server.PutObject(secret)
		kubetest.Refuse(w, http.StatusGatewayTimeout, "Timeout", "request did not complete within requested timeout")
		return true
	})
	token, err := testClient(t, server).CreateBootstrapToken(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	id, _, _ := strings.Cut(token, ".")
	if server.Get("/api/v1/namespaces/kube-system/secrets/bootstrap-token-"+id) == nil {
		t.Error("there is no such token")
	}
}
