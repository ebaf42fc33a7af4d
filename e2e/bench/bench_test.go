package main

import (
	"bytes"
	"io"
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

func TestVerdictFailsWhenSlipwayIsTooSlow(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		slipway, byHand float64
		goal            goal
		want            string
	}{
		"a faster one passes":                   {81, 95, goal{maxRatio: 1}, ""},
		"a slower one fails":                    {91, 90, goal{maxRatio: 1}, "ratio 1.01, at most 1.00 allowed"},
		"a ratio that is too large fails":       {40, 50, goal{maxRatio: 0.75}, "ratio 0.80, at most 0.75 allowed"},
		"a time that is too long fails":         {46, 90, goal{maxRatio: 0.75, maxTime: 45 * time.Second}, "46.0 s, at most 45.0 s allowed"},
		"the goal of three control planes fits": {45, 60, goalOf(true), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			err := verdict(&out, durations(test.slipway), durations(test.byHand), test.goal)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if !strings.Contains(out.String(), "ratio slipway/by-hand 0.") && !strings.Contains(out.String(), "1.01") {
				t.Errorf("the ratio is not printed: %s", out.String())
			}
		})
	}
}

func TestGoals(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		want goal
	}{
		"one control plane is as fast as the script":  {nil, goal{maxRatio: 1}},
		"three control planes are faster":             {[]string{"-ha"}, goal{0.75, 45 * time.Second}},
		"a goal of the command line replaces another": {[]string{"-ha", "-max-ratio", "1.5", "-max-time", "2m"}, goal{1.5, 2 * time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := parse(append(test.args, "-bundle", "bundle"), io.Discard)
			if err != nil || o.goal != test.want {
				t.Errorf("got %+v, %v", o.goal, err)
			}
		})
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
