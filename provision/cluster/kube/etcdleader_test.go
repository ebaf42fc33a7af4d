package kube

import (
	"net/http"
	"strings"
	"testing"
)

func TestMoveLeader(t *testing.T) {
	t.Parallel()
	host := etcd(t, func(path, body string) (int, string) {
		switch {
		case path != "/v3/maintenance/transfer-leadership":
			return http.StatusTeapot, ""
		case body != `{"targetID":"9372538179322589801"}`:
			return http.StatusBadRequest, `{"message":"` + strings.ReplaceAll(body, `"`, "'") + `"}`
		}
		return http.StatusOK, `{"header":{}}`
	})
	if err := NewEtcdClient(host).MoveLeader(t.Context(), 9372538179322589801); err != nil {
		t.Error(err)
	}
	if err := NewEtcdClient(host).MoveLeader(t.Context(), 2748); err == nil || !strings.Contains(err.Error(), "make member abc the leader: 400 Bad Request {'targetID':'2748'}") {
		t.Errorf("got %v", err)
	}
}
