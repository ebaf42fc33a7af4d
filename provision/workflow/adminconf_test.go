package workflow_test

import (
	"errors"
	"strings"
	"testing"

	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/workflow"
)

func TestAdminConfOfAClusterThatIsNotInstalled(t *testing.T) {
	t.Parallel()
	fake := hosttest.NewFake(t, "cp-1")
	_, err := workflow.ReadAdminConf(t.Context(), fake)
	if err == nil || !strings.Contains(err.Error(), "not installed yet") || !strings.Contains(workflow.Hint(err), "slipway apply") {
		t.Errorf("got %v, hint %q", err, workflow.Hint(err))
	}
	lost := errors.New("lost")
	fake.ExpectRead(workflow.AdminConf).Error(lost)
	if _, err := workflow.ReadAdminConf(t.Context(), fake); !errors.Is(err, lost) || workflow.Hint(err) != "" {
		t.Errorf("got %v with the hint %q, which is no help", err, workflow.Hint(err))
	}
	fake.Put(workflow.AdminConf, "the kubeconfig")
	if got, err := workflow.ReadAdminConf(t.Context(), fake); err != nil || string(got) != "the kubeconfig" {
		t.Errorf("got %q, %v", got, err)
	}
}
