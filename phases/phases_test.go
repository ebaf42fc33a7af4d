package phases

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"slipway.io/slipway/phases/access"
	"slipway.io/slipway/phases/machines"
	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/phases/validate"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/lab"
	"slipway.io/slipway/provision/localhost"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow"
)

func workflows() []workflow.Workflow {
	return append([]workflow.Workflow{
		Apply(), Remove(), Balance(), NodeDrain(), NodeUncordon(), Reset(), Validate(validate.Options{}, &report.ValidationReport{}),
		LabCluster(validate.Options{}, &report.ValidationReport{}, nil),
	}, readOnly()...)
}

// readOnly lists the workflows that change nothing on a host.
func readOnly() []workflow.Workflow {
	return []workflow.Workflow{
		Preflight(preflight.Options{}, nil), PreflightLocal(preflight.LocalOptions{}, nil),
		Status(nil), UpgradePlan(nil, nil), Kubeconfig("", nil), Console(access.Console{}), AddonStatus("", nil),
	}
}

// The runner itself reports whether what phases need stands before them.
func TestWorkflowsRunOnInventoriesOfAllShapes(t *testing.T) {
	t.Parallel()
	const cp, worker = config.RoleControlPlane, config.RoleWorker
	inventories := map[string][]config.Host{
		"a single host":                {{Name: "a", Roles: []config.Role{cp, worker}}},
		"a control plane and workers":  {{Name: "a", Roles: []config.Role{cp}}, {Name: "b", Roles: []config.Role{worker}}, {Name: "c", Roles: []config.Role{worker}}},
		"a worker that is named first": {{Name: "a", Roles: []config.Role{worker}}, {Name: "b", Roles: []config.Role{cp}}},
		"a control plane alone":        {{Name: "a", Roles: []config.Role{cp}}},
	}
	balancers := []string{config.LoadBalancerKeepalived, config.LoadBalancerKubeVIP, config.LoadBalancerLocal}
	for name, inventory := range inventories {
		for i, w := range slices.Concat(workflows(), workflows(), workflows()) {
			cluster := everything()
			cluster.ControlPlane.LoadBalancer.Type = balancers[i/len(workflows())]
			t.Run(w.Name+" on "+name+" with "+cluster.ControlPlane.LoadBalancer.Type, func(t *testing.T) {
				t.Parallel()
				hosts := &workflow.Hosts{}
				for _, host := range inventory {
					hosts.All = append(hosts.All, &workflow.Host{Config: host})
				}
				for i := range w.Phases {
					w.Phases[i].Done, w.Phases[i].Do = nil, func(context.Context, *workflow.Step) error { return nil }
				}
				events := &report.Recorder{}
				run := &workflow.Run{Cluster: cluster, Hosts: hosts, Sink: events, Parallel: 4}
				if err := run.Do(t.Context(), w); err != nil {
					t.Fatal(err)
				}
				ran := map[string]bool{}
				for _, e := range events.Events() {
					ran[e.Phase] = true
				}
				for _, p := range w.Phases {
					enabled := p.Enabled == nil || p.Enabled(cluster)
					if ran[p.Name] != (enabled && len(p.On.Hosts(hosts)) > 0) {
						t.Errorf("%s ran: %v, enabled: %v", p.Name, ran[p.Name], enabled)
					}
				}
			})
		}
	}
}

func TestPhasesSayWhatTheyDoAndWhy(t *testing.T) {
	t.Parallel()
	kebab := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	for _, w := range workflows() {
		seen := map[string]bool{}
		for _, p := range w.Phases {
			if !kebab.MatchString(p.Name) || seen[p.Name] {
				t.Errorf("%s: %q is no name in kebab-case, or there twice", w.Name, p.Name)
			}
			seen[p.Name] = true
			if p.Title == "" || strings.ToLower(p.Title[:1]) != p.Title[:1] || strings.HasSuffix(p.Title, ".") || strings.Contains(p.Title, "\n") {
				t.Errorf("%s: the title %q is no short line", p.Name, p.Title)
			}
			if len(p.Why) < 20 || !strings.HasSuffix(p.Why, ".") {
				t.Errorf("%s: %q is no reason in a sentence", p.Name, p.Why)
			}
			if p.Do == nil {
				t.Errorf("%s does nothing", p.Name)
			}
		}
	}
}

// comesAfter reports whether a phase comes after another one, through any others.
func comesAfter(w workflow.Workflow, name, on string) bool {
	p, _ := w.Phase(name)
	return slices.ContainsFunc(slices.Concat(p.Needs, p.NeedsAll), func(need string) bool {
		return need == on || comesAfter(w, need, on)
	})
}

// The packages of haproxy and keepalived may take longer than all that kubeadm init needs.
func TestOnlyHostsThatJoinWaitForTheEndpoint(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{"haproxy", "keepalived", "keepalived-start", "endpoint"} {
		if comesAfter(Apply(), "kubeadm-init", endpoint) {
			t.Errorf("kubeadm-init waits for %s", endpoint)
		}
		for _, join := range []string{"join", "join-control-plane"} {
			if !comesAfter(Apply(), join, endpoint) {
				t.Errorf("%s does not wait for %s", join, endpoint)
			}
		}
	}
}

// Where keepalived may not start, since another control plane does not know the host, it
// would start in a later run as that of a control plane that runs.
func TestAControlPlaneJoinsAfterItsKeepalivedStarted(t *testing.T) {
	t.Parallel()
	if join := phaseOf(t, Apply(), "join-control-plane"); !slices.Contains(join.Needs, "keepalived-start") {
		t.Errorf("it needs %q", join.Needs)
	}
}

func TestNothingIsChangedWithoutTheLockOrBeforeTheChecks(t *testing.T) {
	t.Parallel()
	for _, w := range []workflow.Workflow{Apply(), Remove(), Balance(), NodeDrain(), NodeUncordon(), Reset()} {
		for _, p := range w.Phases {
			if p.ReadOnly || p.Name == "lock" {
				continue
			}
			if !comesAfter(w, p.Name, "lock") {
				t.Errorf("%s: %s does not need the lock", w.Name, p.Name)
			}
		}
		lock, ok := w.Phase("lock")
		if !ok || !lock.Always {
			t.Errorf("%s: the lock can be left out", w.Name)
		}
		if !lock.On.Once() {
			t.Errorf("%s: a host is changed before all of them are locked", w.Name)
		}
	}
	if lock, _ := Apply().Phase("lock"); !slices.Contains(lock.NeedsAll, "preflight") {
		t.Error("a host is changed before all of them are checked")
	}
}

func TestWorkflowsThatOnlyReadChangeNothing(t *testing.T) {
	t.Parallel()
	for _, w := range readOnly() {
		for _, p := range w.Phases {
			if !p.ReadOnly {
				t.Errorf("%s: %s is not read-only", w.Name, p.Name)
			}
		}
	}
}

func TestALabHandsOutAKubeconfigOnlyForAClusterThatWorks(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	inventory := &workflow.Hosts{All: []*workflow.Host{{Config: config.Host{Name: "a", Roles: []config.Role{config.RoleControlPlane}}}}}
	for failing, want := range map[string][]string{
		"":               {"validate", "kubeconfig"},
		"cni-ready":      nil,
		"dns-ready":      nil,
		"addons-removed": nil,
		"validate":       {"validate"},
	} {
		w := LabCluster(validate.Options{}, &report.ValidationReport{}, nil)
		var ran []string
		for i, p := range w.Phases {
			w.Phases[i].Done, w.Phases[i].Do = nil, func(context.Context, *workflow.Step) error {
				if p.Name == "validate" || p.Name == "kubeconfig" {
					ran = append(ran, p.Name)
				}
				if p.Name == failing {
					return broken
				}
				return nil
			}
		}
		run := &workflow.Run{Cluster: everything(), Hosts: inventory, Sink: report.Multi()}
		if err := run.Do(t.Context(), w); errors.Is(err, broken) != (failing != "") {
			t.Errorf("%q fails: error %v", failing, err)
		}
		if !slices.Equal(ran, want) {
			t.Errorf("%q fails: %v ran, want %v", failing, ran, want)
		}
	}
}

func TestALabIsCreatedOnlyOnAComputerThatPassesTheChecks(t *testing.T) {
	t.Parallel()
	unfit := errors.New("no virtualization")
	up := &provider{}
	spec := preflight.LabSpec{Facts: &localhost.Facts{}, Provider: "container", Machines: 1}
	local := &preflight.LocalOptions{Spec: spec, Selection: preflight.Selection{Only: []string{"lab-provider"}}}
	for name, test := range map[string]struct {
		local *preflight.LocalOptions
		err   error
		ups   int
	}{
		"a computer that is unfit":   {local, unfit, 0},
		"a computer that is fit":     {local, nil, 1},
		"a lab that already existed": {nil, unfit, 1},
	} {
		up.calls = 0
		created := 0
		l := machines.Lab{Provider: up, Created: func(*lab.Lab) { created++ }}
		w := LabMachines(l, test.local, func(*check.Report) error { return test.err })
		run := &workflow.Run{Cluster: &config.Cluster{}, Hosts: &workflow.Hosts{}, Sink: report.Multi()}
		err := run.Do(t.Context(), w)
		if up.calls != test.ups || created != test.ups || (test.ups == 0) != errors.Is(err, unfit) {
			t.Errorf("%s: %d calls, %d created, error %v", name, up.calls, created, err)
		}
	}
}

// provider counts the calls of Up.
type provider struct {
	lab.Provider
	calls int
}

func (p *provider) Up(context.Context, lab.Spec) (*lab.Lab, error) {
	p.calls++
	return &lab.Lab{}, nil
}

// everything is an inventory that wants each phase.
func everything() *config.Cluster {
	c := &config.Cluster{Addons: []config.Addon{{Name: "own"}}}
	for _, name := range config.KnownAddons() {
		c.Addons = append(c.Addons, config.Addon{Name: name})
	}
	c.Leaving = []config.Host{{Name: "gone", State: config.StateLost}}
	c.SetDefaults()
	return c
}
