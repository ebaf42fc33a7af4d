package cmd

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestEverythingCanBeExplained(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, topic := range topics() {
		if at := topic.Group + " " + topic.Name; seen[at] {
			t.Errorf("%s is there twice", at)
		} else {
			seen[at], seen[topic.Name] = true, true
		}
		if topic.Title == "" || topic.Group == "" || topic.Examines == "" || topic.Why == "" || len(topic.Manual) == 0 || topic.Docs == "" {
			t.Errorf("%s is not explained: %+v", topic.Name, topic)
		}
	}
	for _, name := range []string{"kubeadm-init", "undo", "reachability", "swap-returns"} {
		if !seen[name] {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"a list", []string{"explain"}, 0, []string{"PHASE OF APPLY", "kubeadm-init", "CHECK BETWEEN HOSTS", "mtu"}},
		{"a check", []string{"explain", "clock-skew"}, 0, []string{"check across hosts", "median", "timedatectl", "docs/preflight.md#clock-skew"}},
		{"a phase", []string{"explain", "join"}, 0, []string{"Runs on: each worker. After: ", "kubeadm join", "docs/phases.md#join"}},
		{"a check by its old name", []string{"explain", "mesh"}, 0, []string{"reachability (check between hosts)"}},
		{"a part of a name", []string{"explain", "skew"}, 0, []string{"check of each host"}},
		{"a wrong name", []string{"explain", "swap"}, 2, []string{"Did you mean this?\n\tswap-off\n\tswap-returns\n"}},
		{"a phase and a check of one name", []string{"explain", "kernel"}, 0, []string{"kernel (phase of apply)", "kernel (check of each host)"}},
		{"two names", []string{"explain", "a", "b"}, 2, []string{"accepts at most 1 arg(s), received 2"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if code := Main(test.args, strings.NewReader(""), &out, &out); code != test.code {
				t.Errorf("exit code %d", code)
			}
			for _, want := range test.says {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is missing in\n%s", want, out.String())
				}
			}
		})
	}
	var out bytes.Buffer
	var told []topic
	if code := Main([]string{"explain", "reachability", "-o", "json"}, strings.NewReader(""), &out, &out); code != 0 || json.Unmarshal(out.Bytes(), &told) != nil || len(told) != 1 || told[0].Name != "reachability" {
		t.Errorf("exit code %d: %s", code, out.String())
	}
}
