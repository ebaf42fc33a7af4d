package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		seconds []float64
		want    float64
	}{
		"of one is itself":                         {[]float64{3}, 3},
		"of an odd number is the middle one":       {[]float64{9, 1, 5}, 5},
		"of an even number is between the two mid": {[]float64{8, 1, 4, 100}, 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := median(durations(test.seconds...)).Seconds(); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestVerdictFailsWhenSlipwayIsSlower(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := verdict(&out, durations(80, 82), durations(90, 100), 1.0); err != nil {
		t.Errorf("slipway is faster, but: %v", err)
	}
	if !strings.Contains(out.String(), "ratio slipway/by-hand 0.85") {
		t.Errorf("the ratio is not printed: %s", out.String())
	}
	if err := verdict(&out, durations(91), durations(90), 1.0); err == nil {
		t.Error("slipway is slower, without an error")
	}
}

func TestAJoinByTokenHasPlaceholders(t *testing.T) {
	t.Parallel()
	document := "kind: JoinConfiguration\ndiscovery: {file: {kubeConfigPath: x}}\nnodeRegistration: {name: w1}\n"
	got, err := byToken([]byte(document), "192.0.2.10:6443")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"token: TOKEN", "- HASH", "apiServerEndpoint: 192.0.2.10:6443", "name: w1"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("it lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(string(got), "kubeConfigPath") {
		t.Errorf("two ways to find the cluster:\n%s", got)
	}
}

func durations(seconds ...float64) []time.Duration {
	var all []time.Duration
	for _, s := range seconds {
		all = append(all, time.Duration(s*float64(time.Second)))
	}
	return all
}
