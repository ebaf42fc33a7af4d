package kube

import (
	"testing"

	"slipway.io/slipway/provision/cluster/kubetest"
)

func TestOnlyWhatSlipwayCordonedIsUncordoned(t *testing.T) {
	t.Parallel()
	roll := []CordonReason{CordonedForRoll, CordonedForRemoval}
	tests := []struct {
		name, node string
		// cordon is why the node is cordoned first, if not empty.
		cordon   CordonReason
		cordoned bool
		reasons  []CordonReason
		// changed by the uncordon; then the node is cordoned or not, for a reason.
		changed, unschedulable bool
		reason                 CordonReason
	}{
		{name: "cordoned for a roll", node: "metadata: {name: w-1}", cordon: CordonedForRoll, cordoned: true, reasons: roll, changed: true},
		{name: "cordoned by somebody else", node: "metadata: {name: w-1}, spec: {unschedulable: true}", cordon: CordonedForRoll, reasons: roll, unschedulable: true},
		{
			name: "cordoned for maintenance before the roll", node: "metadata: {name: w-1, annotations: {slipway.io/cordoned: maintenance}}, spec: {unschedulable: true}",
			cordon: CordonedForRoll, reasons: roll, unschedulable: true, reason: CordonedForMaintenance,
		},
		{
			name: "maintenance after an interrupted roll", node: "metadata: {name: w-1, annotations: {slipway.io/cordoned: roll}}, spec: {unschedulable: true}",
			cordon: CordonedForMaintenance, cordoned: true, reasons: roll, unschedulable: true, reason: CordonedForMaintenance,
		},
		{
			name: "by an interrupted run", node: "metadata: {name: w-1, annotations: {slipway.io/cordoned: roll}}, spec: {unschedulable: true}",
			cordon: CordonedForRoll, reasons: roll, changed: true,
		},
		{
			name: "to leave, by an earlier release", node: "metadata: {name: w-1, annotations: {slipway.io/cordoned: 'true'}}, spec: {unschedulable: true}",
			reasons: roll, changed: true,
		},
		{
			name: "a node that somebody else has uncordoned", node: "metadata: {name: w-1, annotations: {slipway.io/cordoned: roll}}, spec: {}",
			reasons: roll,
		},
		{name: "a node that is not cordoned", node: "metadata: {name: w-1}, spec: {}", reasons: roll},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := kubetest.New(t)
			server.Put("{apiVersion: v1, kind: Node, " + test.node + "}")
			client := testClient(t, server)
			if test.cordon != "" {
				if changed, err := client.Cordon(t.Context(), "w-1", test.cordon); err != nil || changed != test.cordoned {
					t.Errorf("cordoned %v, %v", changed, err)
				}
			}
			if changed, err := client.Uncordon(t.Context(), "w-1", test.reasons...); err != nil || changed != test.changed {
				t.Errorf("uncordoned %v, %v", changed, err)
			}
			node, err := client.Node(t.Context(), "w-1")
			if err != nil {
				t.Fatal(err)
			}
			if node.Spec.Unschedulable != test.unschedulable || CordonedBySlipway(node) != test.reason {
				t.Errorf("unschedulable %v, annotations %v", node.Spec.Unschedulable, node.Annotations)
			}
			if _, marked := node.Annotations[cordonedAnnotation]; marked && !node.Spec.Unschedulable {
				t.Error("the annotation is left, and claims the next cordon of somebody else")
			}
		})
	}
}

func TestANodeThatDoesNotExistNeedsNoCordon(t *testing.T) {
	t.Parallel()
	client := testClient(t, kubetest.New(t))
	if changed, err := client.Cordon(t.Context(), "w-1", CordonedForRoll); err != nil || changed {
		t.Errorf("cordoned %v, %v", changed, err)
	}
	if changed, err := client.Uncordon(t.Context(), "w-1", CordonedForRoll); err != nil || changed {
		t.Errorf("uncordoned %v, %v", changed, err)
	}
}
