package cmd

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/viper"

	"slipway.io/slipway/provision/report"
)

// Apply removes hosts after its own workflow. That is one run to everybody else.
func TestWorkflowsThatFollowOneAnotherAreOneRun(t *testing.T) {
	alone(t)
	var out, said bytes.Buffer
	o, err := (&app{out: &out, err: &said, settings: viper.New()}).output("apply", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []report.Event{
		{Kind: report.RunStarted, Run: "apply"},
		{Kind: report.Change, Run: "apply"},
		{Kind: report.RunFinished, Run: "apply", Changes: 2, Seconds: 3},
		{Kind: report.RunStarted, Run: "remove"},
		{Kind: report.Note, Run: "remove"},
		{Kind: report.RunFinished, Run: "remove", Changes: 1, Seconds: 1, Error: "x"},
	} {
		o.Event(e)
	}
	if err := o.close(); err != nil {
		t.Fatal(err)
	}
	want := []report.Event{
		{Kind: report.RunStarted, Run: "apply"},
		{Kind: report.Change, Run: "apply"},
		{Kind: report.Note, Run: "apply"},
		{Kind: report.RunFinished, Run: "apply", Changes: 3, Seconds: 4, Error: "x"},
	}
	if diff := cmp.Diff(want, o.recorder.Events()); diff != "" || !o.failed.Load() || o.changes.Load() != 3 {
		t.Errorf("failed %v, %d changes: %s", o.failed.Load(), o.changes.Load(), diff)
	}
}
