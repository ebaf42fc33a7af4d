package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
)

const threeMembers = `{"members":[{"ID":"1","name":"cp-1"},{"ID":"2","name":"cp-2"},{"ID":"3","name":"cp-3"}]}`

// member answers as the etcd of a control plane, which has that status.
func member(t *testing.T, name, status string) host.Host {
	t.Helper()
	h := etcd(t, func(path, body string) (int, string) {
		switch path {
		case "/v3/cluster/member/list":
			return http.StatusOK, threeMembers
		case "/v3/maintenance/status":
			return http.StatusOK, status
		case "/v3/kv/range":
			if body == `{"key":"aGVhbHRo"}` && !strings.Contains(status, "partitioned") {
				return http.StatusOK, `{}`
			}
			return http.StatusServiceUnavailable, `{"message":"etcdserver: request timed out"}`
		}
		return http.StatusTeapot, ""
	})
	return named{h, name}
}

// named is a host with another name.
type named struct {
	dialingHost
	name string
}

func (n named) String() string { return n.name }

// statusOf is the status of a member that follows member 1 in term 7.
func statusOf(id, applied int, more string) string {
	return fmt.Sprintf(`{"header":{"member_id":"%d"},"leader":"1","raftTerm":"7","raftIndex":"5000","raftAppliedIndex":"%d"%s}`, id, applied, more)
}

func TestEtcdHealth(t *testing.T) {
	t.Parallel()
	leader := statusOf(1, 5000, "")
	for name, test := range map[string]struct {
		second, third string // the status; empty if its host does not answer
		problems      [3]string
		alarms        []string
		quorum        string
	}{
		"all members are healthy": {
			statusOf(2, 4990, ""), statusOf(3, 5000, ""), [3]string{}, nil, "3 members, 2 needed, 3 healthy: tolerates 1 failure",
		},
		"a host is off": {
			statusOf(2, 5000, ""), "", [3]string{2: "no control plane that answers has it"}, nil, "3 members, 2 needed, 2 healthy: tolerates no failure",
		},
		"two hosts are off": {
			"", "",
			[3]string{1: "no control plane that answers has it", 2: "no control plane that answers has it"},
			nil,
			"3 members, 2 needed, 1 healthy: no quorum",
		},
		"a member is far behind": {
			statusOf(2, 3999, ""), statusOf(3, 5000, ""),
			[3]string{1: "is 1001 entries behind the leader"},
			nil,
			"3 members, 2 needed, 2 healthy: tolerates no failure",
		},
		"a member does not vote yet": {
			statusOf(2, 5000, ""), statusOf(3, 5000, `,"isLearner":true`), [3]string{}, nil, "2 members, 2 needed, 2 healthy: tolerates no failure",
		},
		"a member knows no leader": {
			statusOf(2, 5000, ""), `{"header":{"member_id":"3"},"raftTerm":"9","errors":["etcdserver: no leader"]}`,
			[3]string{2: "the member knows no leader"},
			nil, "3 members, 2 needed, 2 healthy: tolerates no failure",
		},
		"a member follows a leader of an earlier term": {
			statusOf(2, 5000, ""), `{"header":{"member_id":"3"},"leader":"3","raftTerm":"6","raftIndex":"9","raftAppliedIndex":"9"}`,
			[3]string{2: "follows member 3, and not the leader 1"},
			nil, "3 members, 2 needed, 2 healthy: tolerates no failure",
		},
		"a member has no majority": {
			statusOf(2, 5000, ""), statusOf(3, 5000, `,"version":"partitioned"`),
			[3]string{2: "read from etcd: 503 Service Unavailable etcdserver: request timed out"},
			nil, "3 members, 2 needed, 2 healthy: tolerates no failure",
		},
		"a member is out of space": {
			statusOf(2, 5000, `,"errors":["memberID:2 alarm:NOSPACE "]`), statusOf(3, 5000, `,"errors":["memberID:2 alarm:NOSPACE "]`),
			[3]string{},
			[]string{"memberID:2 alarm:NOSPACE"},
			"3 members, 2 needed, 3 healthy: tolerates 1 failure",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hosts := []host.Host{member(t, "cp-1", leader)}
			for i, status := range []string{test.second, test.third} {
				if status != "" {
					hosts = append(hosts, member(t, fmt.Sprintf("cp-%d", i+2), status))
				}
			}
			health, err := ReadEtcdHealth(t.Context(), hosts)
			if err != nil {
				t.Fatal(err)
			}
			var problems [3]string
			for i, m := range health.Members {
				if m.Problem != nil {
					problems[i] = m.Problem.Error()
				}
				if m.Leader != (m.ID == 1) {
					t.Errorf("%s leads: %v", m.Name, m.Leader)
				}
			}
			if diff := cmp.Diff(test.problems, problems); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.alarms, health.Alarms); diff != "" {
				t.Error(diff)
			}
			if got := health.Quorum().Verdict(); got != test.quorum {
				t.Errorf("quorum %q, want %q", got, test.quorum)
			}
			if health.Leader() != "cp-1" || health.Member("cp-3") == nil || health.Member("cp-4") != nil {
				t.Errorf("got %+v", health)
			}
		})
	}
}

func TestTheLeaderIsKnownFromItsFollowers(t *testing.T) {
	t.Parallel()
	health, err := ReadEtcdHealth(t.Context(), []host.Host{member(t, "cp-2", statusOf(2, 5000, "")), member(t, "cp-3", statusOf(3, 5000, ""))})
	if err != nil || health.Leader() != "cp-1" || health.Members[0].Problem == nil {
		t.Errorf("got %+v, %v", health, err)
	}
}

func TestAControlPlaneWhoseEtcdIsSilentIsNamed(t *testing.T) {
	t.Parallel()
	silent := dialingHost{hosttest.NewFake(t, "cp-2"), "127.0.0.1:1"} // it has no certificates either
	health, err := ReadEtcdHealth(t.Context(), []host.Host{silent, member(t, "cp-1", statusOf(1, 5000, ""))})
	if err != nil {
		t.Fatal(err)
	}
	if m := health.Member("cp-2"); m.Host != "cp-2" || m.Problem == nil || !strings.Contains(m.Problem.Error(), "ca.crt") {
		t.Errorf("got %+v", m)
	}
	if _, err := ReadEtcdHealth(t.Context(), []host.Host{silent}); err == nil || !strings.HasPrefix(err.Error(), "cp-2: ") {
		t.Errorf("got %v", err)
	}
}

func TestEtcdIsNotAskedForLong(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	hanging := etcd(t, func(string, string) (int, string) {
		<-ctx.Done()
		return http.StatusOK, "{}"
	})
	if _, err := ReadEtcdHealth(ctx, []host.Host{hanging}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestQuorum(t *testing.T) {
	t.Parallel()
	for want, q := range map[string]Quorum{
		"1 member, 1 needed, 1 healthy: tolerates no failure":  {1, 1, 0},
		"2 members, 2 needed, 1 healthy: no quorum":            {2, 1, 0},
		"5 members, 3 needed, 5 healthy: tolerates 2 failures": {5, 5, 0},
	} {
		if got := q.Verdict(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestALearnerIsOneInEveryField(t *testing.T) {
	t.Parallel()
	listing := etcd(t, func(path, _ string) (int, string) {
		if path == "/v3/cluster/member/list" {
			return http.StatusOK, `{"members":[{"ID":"1","name":"cp-1"},{"ID":"2","name":"cp-2","isLearner":true}]}`
		}
		return http.StatusOK, statusOf(1, 5000, "")
	})
	health, err := ReadEtcdHealth(t.Context(), []host.Host{listing})
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range health.Members {
		if learner := i == 1; m.Learner != learner || m.Voting == learner {
			t.Errorf("member %s: learner %v, voting %v", m.Name, m.Learner, m.Voting)
		}
	}
}
