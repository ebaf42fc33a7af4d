package kube

import "testing"

func TestCheckRemoval(t *testing.T) {
	t.Parallel()
	tests := []struct {
		now              Quorum
		members, healthy int
		want             string
	}{
		{Quorum{3, 3, 0}, 1, 1, ""},
		{Quorum{3, 2, 0}, 1, 0, ""},
		{Quorum{5, 3, 0}, 2, 0, ""},
		{Quorum{2, 2, 0}, 1, 1, ""},
		{Quorum{3, 1, 0}, 1, 0, "etcd has 3 members, 2 needed, 1 healthy: it has no quorum, and cannot remove cp-3"},
		{Quorum{3, 2, 0}, 1, 1, "etcd has 3 members, 2 needed, 2 healthy: removing cp-3 would leave 2 members, 2 needed, 1 healthy"},
		{Quorum{2, 1, 0}, 1, 0, "etcd has 2 members, 2 needed, 1 healthy: it has no quorum, and cannot remove cp-3"},
	}
	for _, test := range tests {
		got := ""
		if err := test.now.CheckRemoval("cp-3", test.members, test.healthy); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%+v: got %q, want %q", test.now, got, test.want)
		}
	}
}
