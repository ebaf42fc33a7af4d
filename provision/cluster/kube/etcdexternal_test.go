package kube

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"

	"slipway.io/slipway/provision/host"
)

// remoteHost is a fake host from which addresses reach servers.
type remoteHost struct {
	dialingHost
	reached map[string]string
}

func (h remoteHost) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	to, ok := h.reached[addr]
	if !ok {
		return nil, net.UnknownNetworkError(addr)
	}
	return new(net.Dialer).DialContext(ctx, network, to)
}

// endpoint is a client URL for which the certificate of a test server is valid.
const endpoint = "https://example.com:2379"

// planeOf is a host that reaches an etcd at endpoint, with the certificate of its API
// server.
func planeOf(t *testing.T, answer func(path, body string) (int, string)) remoteHost {
	t.Helper()
	h := remoteHost{etcd(t, answer), map[string]string{}}
	h.reached["example.com:2379"] = h.address
	for from, to := range map[string]string{
		"/etc/kubernetes/pki/etcd/healthcheck-client.crt": "/etc/kubernetes/pki/apiserver-etcd-client.crt",
		"/etc/kubernetes/pki/etcd/healthcheck-client.key": "/etc/kubernetes/pki/apiserver-etcd-client.key",
	} {
		file, _ := h.File(from)
		h.Put(to, string(file.Content))
		h.Remove(from)
	}
	return h
}

const twoMembers = `{"members":[{"ID":"1","name":"etcd-1","clientURLs":["https://example.com:2379"]},{"ID":"2","name":"etcd-2","clientURLs":["https://off.example.com:2379"]},{"ID":"3","name":"etcd-3","clientURLs":["https://other.example.com:2379"]}]}`

func TestAnEtcdElsewhereIsAskedFromAControlPlane(t *testing.T) {
	t.Parallel()
	h := planeOf(t, func(path, _ string) (int, string) {
		switch path {
		case "/v3/cluster/member/list":
			return http.StatusOK, twoMembers
		case "/v3/maintenance/status":
			return http.StatusOK, statusOf(1, 5000, "")
		}
		return http.StatusOK, `{}`
	})
	blank := planeOf(t, nil)
	blank.Remove("/etc/kubernetes/pki/apiserver-etcd-client.key")
	health, err := ReadExternalEtcdHealth(t.Context(), []host.Host{blank, h}, []string{endpoint, "https://off.example.com:2379"})
	if err != nil {
		t.Fatal(err)
	}
	var problems []string
	for _, m := range health.Members {
		text := m.Name + " " + m.Host + ": "
		if m.Problem != nil {
			text += m.Problem.Error()
		}
		problems = append(problems, text)
	}
	want := []string{
		"etcd-1 https://example.com:2379: ",
		"etcd-2 https://off.example.com:2379: ",
		"etcd-3 : ", // nobody has asked it
	}
	for i, prefix := range want {
		if !strings.HasPrefix(problems[i], prefix) || i != 1 && problems[i] != prefix || i == 1 && problems[i] == prefix {
			t.Errorf("got %q, want %q", problems[i], prefix)
		}
	}
	if health.Leader() != "etcd-1" || health.Quorum() != (Quorum{Members: 3, Healthy: 1, NotAsked: 1}) {
		t.Errorf("leader %q, %+v", health.Leader(), health.Quorum())
	}
	if _, err := ReadExternalEtcdHealth(t.Context(), []host.Host{blank}, []string{endpoint}); err == nil || !strings.Contains(err.Error(), "apiserver-etcd-client.key") {
		t.Errorf("without a key: %v", err)
	}
	if _, err := ReadExternalEtcdHealth(t.Context(), nil, []string{endpoint}); err == nil {
		t.Error("without a control plane, there is no error")
	}
}

func TestMembersThatNoEndpointHas(t *testing.T) {
	t.Parallel()
	member := func(id uint64, name, host string, problem error) EtcdMemberHealth {
		return EtcdMemberHealth{EtcdMember: EtcdMember{ID: id, Name: name}, Voting: true, Host: host, Problem: problem}
	}
	const balancer, second, third = "https://lb.example:2379", "https://b.example:2379", "https://c.example:2379"
	down := errors.New("refused")
	tests := []struct {
		name    string
		members []EtcdMemberHealth
		silent  []string
		quorum  Quorum
		holds   bool
	}{
		{"one load balancer for three members", []EtcdMemberHealth{member(1, "a", balancer, nil), member(2, "b", "", errNotAsked), member(3, "c", "", errNotAsked)}, nil, Quorum{3, 1, 2}, true},
		{"a load balancer whose member has lost the others", []EtcdMemberHealth{member(1, "a", balancer, errNoLeader), member(2, "b", "", errNotAsked), member(3, "c", "", errNotAsked)}, nil, Quorum{3, 0, 2}, false},
		{"the endpoint of one member is silent, under another name", []EtcdMemberHealth{member(1, "a", balancer, nil), member(2, "b", second, nil), member(3, "c", "", errNotAsked)}, []string{third}, Quorum{3, 2, 0}, true},
		{"the endpoints of two members are silent", []EtcdMemberHealth{member(1, "a", balancer, nil), member(2, "b", "", errNotAsked), member(3, "c", "", errNotAsked)}, []string{second, third}, Quorum{3, 1, 0}, false},
		{"one of two load balancers is silent", []EtcdMemberHealth{member(1, "a", balancer, nil), member(2, "b", "", errNotAsked), member(3, "c", "", errNotAsked)}, []string{second}, Quorum{3, 1, 2}, true},
		{"the endpoint that is silent is that of another member", []EtcdMemberHealth{member(1, "a", balancer, nil), member(2, "b", second, down), member(3, "c", "", errNotAsked)}, []string{second}, Quorum{3, 1, 1}, true},
		{"a member that has never started", []EtcdMemberHealth{member(1, "a", balancer, nil), member(2, "", "", errNotAsked)}, nil, Quorum{2, 1, 0}, false},
	}
	for _, test := range tests {
		health := EtcdHealth{Members: test.members, Silent: test.silent}
		judgeNotAsked(&health)
		if got := health.Quorum(); got != test.quorum || got.Holds() != test.holds {
			t.Errorf("%s: got %s", test.name, got.Verdict())
		}
	}
	if got := (Quorum{3, 1, 2}).Verdict(); got != "3 members, 2 needed, 1 healthy, 2 not asked: a majority answers" {
		t.Error(got)
	}
}

func TestWhetherEtcdHasACluster(t *testing.T) {
	t.Parallel()
	// "/registry/" and "/registry0", the first key after all that begin with it.
	const request = `{"key":"L3JlZ2lzdHJ5Lw==","range_end":"L3JlZ2lzdHJ5MA==","limit":1,"keys_only":true}`
	for answer, want := range map[string]bool{`{"header":{}}`: false, `{"kvs":[{"key":"L3JlZ2lzdHJ5L2E="}],"count":"1"}`: true} {
		h := planeOf(t, func(path, body string) (int, string) {
			if path != "/v3/kv/range" || body != request {
				return http.StatusTeapot, ""
			}
			return http.StatusOK, answer
		})
		found, err := ExternalEtcdHasCluster(t.Context(), h, []string{"https://off.example.com:2379", endpoint})
		if err != nil || found != want {
			t.Errorf("%s: got %t, %v", answer, found, err)
		}
	}
	silent := planeOf(t, func(string, string) (int, string) {
		return http.StatusServiceUnavailable, `{"message":"etcdserver: no leader"}`
	})
	if _, err := ExternalEtcdHasCluster(t.Context(), silent, []string{endpoint}); err == nil || !strings.Contains(err.Error(), "no leader") {
		t.Errorf("an etcd that does not answer is no empty one: %v", err)
	}
}

func TestAnEtcdIsCheckedWithFilesThatTheHostDoesNotHave(t *testing.T) {
	t.Parallel()
	h := planeOf(t, func(path, _ string) (int, string) {
		if path == "/v3/maintenance/status" {
			return http.StatusOK, `{"header":{"member_id":"1"},"errors":["etcdserver: no leader"]}`
		}
		return http.StatusOK, `{}`
	})
	var files [3][]byte
	for i, path := range []string{etcdCA, etcdClient + ".crt", etcdClient + ".key"} {
		file, _ := h.File(path)
		files[i] = file.Content
		h.Remove(path)
	}
	if err := CheckEtcd(t.Context(), h, endpoint, files[0], files[1], files[2]); err == nil || !strings.Contains(err.Error(), "leader") {
		t.Errorf("without a leader: %v", err)
	}
	if err := CheckEtcd(t.Context(), h, "https://off.example.com:2379", files[0], files[1], files[2]); err == nil {
		t.Error("an address that is not reached is no error")
	}
	if err := CheckEtcd(t.Context(), h, endpoint, files[1][:9], files[1], files[2]); err == nil {
		t.Error("a damaged CA is no error")
	}
}

// It may be on a host that the inventory does not have.
func TestAMemberIsAskedThroughAControlPlane(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		urls   []string
		status string
		want   string
	}{
		"it is healthy":                      {[]string{endpoint}, statusOf(2, 5000, ""), ""},
		"its second URL answers":             {[]string{"https://off.example.com:2379", endpoint}, statusOf(2, 5000, ""), ""},
		"it does not answer":                 {[]string{"https://off.example.com:2379"}, "", "https://off.example.com:2379 does not answer cp-1"},
		"it has no URL":                      {nil, "", "it has no client URL"},
		"it knows no leader":                 {[]string{endpoint}, `{"header":{"member_id":"2"}}`, "knows no leader"},
		"another member has its address now": {[]string{endpoint}, statusOf(3, 5000, ""), "is that of member 3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := remoteHost{etcd(t, func(path, _ string) (int, string) {
				if path == "/v3/maintenance/status" {
					return http.StatusOK, test.status
				}
				return http.StatusOK, `{}`
			}), map[string]string{}}
			h.reached["example.com:2379"] = h.address
			err := AskEtcdMember(t.Context(), h, EtcdMember{ID: 2, Name: "cp-2", ClientURLs: test.urls})
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
