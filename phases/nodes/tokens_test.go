package nodes

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster/kube"
)

func TestTokensOfKilledRunsAreRevoked(t *testing.T) {
	t.Parallel()
	fixture, _, server := joining(t)
	server.Put(`
apiVersion: v1
kind: Secret
metadata: {name: bootstrap-token-abcdef, namespace: kube-system}
type: bootstrap.kubernetes.io/token
data: {token-id: YWJjZGVm, description: b2Yga3ViZWFkbQ==}
---
apiVersion: v1
kind: Secret
metadata: {name: other, namespace: kube-system}
`)
	client, err := fixture.Hosts.Connect(t.Context(), kube.Options{})
	if err != nil {
		t.Fatal(err)
	}
	token, err := client.CreateBootstrapToken(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	id, _, _ := strings.Cut(token, ".")
	exists := func(id string) bool {
		return server.Get("/api/v1/namespaces/kube-system/secrets/bootstrap-token-"+id) != nil
	}
	fixture.MustPlan(Tokens())
	if diff := cmp.Diff([]string{"revoke join token " + id}, fixture.Changes()); diff != "" || !exists(id) {
		t.Errorf("the plan revokes the token: %v; %s", !exists(id), diff)
	}
	fixture.MustApply(Tokens())
	if exists(id) || !exists("abcdef") {
		t.Errorf("the token is left: %v; that of kubeadm: %v", exists(id), exists("abcdef"))
	}
	fixture.MustApply(Tokens())
	if again := fixture.Changes(); len(again) > 0 {
		t.Errorf("a second run changes %q", again)
	}
}
