package etcd

import (
	"strings"
	"testing"

	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

// The data of etcd-3 is that of an interrupted apply, or that of an etcd that was removed
// while the host was off.
func TestAMemberThatHasStartedBeforeDoesNotStartEmpty(t *testing.T) {
	t.Parallel()
	const fresh = `{"ID":"1","name":"etcd-1","peerURLs":["https://192.0.2.31:2380"]}`
	const published = `{"ID":"1","name":"etcd-1","peerURLs":["https://192.0.2.31:2380"],"clientURLs":["https://192.0.2.31:2379"]}`
	const own = `{"ID":"3","name":"etcd-3","clientURLs":["https://192.0.2.33:2379"]}`
	empty, whole := "arch\tx86_64\nkernel\t6\n", "arch\tx86_64\nkernel\t6\nexists\t"+string(facts.EtcdMember)+"\n"
	for name, test := range map[string]struct {
		member, now string // the facts are read again if a member has started
		refused     bool
	}{
		"a member that has never started":                      {member: fresh},
		"one without a name":                                   {member: `{"ID":"1","peerURLs":["https://192.0.2.31:2380"]}`},
		"one that has started, and whose data is gone":         {member: published, now: empty, refused: true},
		"one that has started since the facts of it were read": {member: published, now: whole},
	} {
		fixture := workflowtest.New(t, three)
		complete(fixture.Facts("etcd-3"))
		putAuthority(fixture, "etcd-3")
		fixture.ServeEtcd("etcd-3", own, test.member)
		fake := fixture.Host("etcd-1")
		if test.now != "" {
			fake.ExpectQueryScript("facts.sh", facts.Arguments()...).Returns(test.now)
		}
		phase := workflow.Phase{Name: "etcd-host", On: workflow.EtcdHosts, Do: neverStarted}
		if test.refused {
			phase = Member()
		}
		fixture.Selection.Hosts = []string{"etcd-1"}
		err := fixture.Apply(phase)
		switch {
		case test.refused != (err != nil) || len(fixture.Changes()) > 0:
			t.Errorf("%s: got %v, changes %q", name, err, fixture.Changes())
		case test.refused && (!strings.Contains(err.Error(), "etcd-3 has the data of an etcd in which the member of this host has started before") ||
			!strings.Contains(workflow.Hint(err), "slipway reset --yes --hosts etcd-3, then slipway apply")):
			t.Errorf("%s: got %v, hint %q", name, err, workflow.Hint(err))
		}
	}
}
