package hostprep

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host/hosttest"
)

// fakeFirewalld keeps the lines "zone kind text" of its two configurations in the files
// runtime and permanent, and logs the commands that change them.
const fakeFirewalld = `
where=runtime zone=public
case ${1-} in
--state) [ ! -e "$FAKE/stopped" ]; exit ;;
--get-default-zone) echo public; exit ;;
--permanent) where=permanent; shift ;;
esac
[ "${0##*/}" != firewall-offline-cmd ] || where=permanent
if [ "$1" = --list-all-zones ]; then
	for zone in trusted public work; do
		echo "$zone (active)"
		echo "  target: default"
		[ $zone != public ] || echo "  interfaces: eth0"
		echo "  sources: $(awk -v z=$zone '$1 == z && $2 == "source" { print $3 }' "$FAKE/$where" | tr '\n' ' ')"
		echo "  rich rules: "
		sed -n "s/^$zone rule /	/p" "$FAKE/$where"
		echo
	done
	exit
fi
echo "$where $#" >>"$FAKE/log"
for option; do
	text=${option#*=}
	case $option in
	--zone=*) zone=$text ;;
	--add-source=10.66.*) echo "Error: ZONE_CONFLICT: '$text' already bound to a zone" >&2; exit 18 ;;
	--add-source=*) echo "$zone source $text" >>"$FAKE/$where" ;;
	--add-rich-rule=*) echo "$zone rule $text" >>"$FAKE/$where" ;;
	--remove-*)
		kind=rule
		[ "${option#--remove-source}" = "$option" ] || kind=source
		grep -vxF "$zone $kind $text" "$FAKE/$where" >"$FAKE/new"
		mv "$FAKE/new" "$FAKE/$where"
		;;
	*) echo "unknown option $option" >&2; exit 2 ;;
	esac
done
echo success`

// fakeUFW keeps its rules as "ufw show added" prints them.
const fakeUFW = `
run=
if [ "$1" = --dry-run ]; then run=dry; shift; fi
case "$*" in
"show added") echo "Added user rules (see 'ufw status' for running firewall):"; cat "$FAKE/rules"; exit ;;
*"proto ipip"*) echo "ERROR: Unsupported protocol 'ipip'" >&2; exit 1 ;;
esac
[ -z "$run" ] || exit 0
echo "$*" >>"$FAKE/log"
case "$*" in
"delete "* | "route delete "*)
	rule=$(echo "ufw $*" | sed 's/delete //')
	grep -vxF -e "$rule" -e "$rule comment 'slipway'" "$FAKE/rules" >"$FAKE/new"
	mv "$FAKE/new" "$FAKE/rules"
	;;
*" comment slipway") echo "ufw ${*% comment slipway} comment 'slipway'" >>"$FAKE/rules" ;;
*) echo "unknown: $*" >&2; exit 2 ;;
esac`

// faked is a directory with the state of a fake firewall.
type faked struct {
	t     *testing.T
	dir   string
	local hosttest.Local
}

func newFaked(t *testing.T, files map[string]string) *faked {
	t.Helper()
	f := &faked{t: t, dir: t.TempDir()}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(f.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	programs := hosttest.Programs(t, map[string]string{"firewall-cmd": fakeFirewalld, "firewall-offline-cmd": fakeFirewalld, "ufw": fakeUFW})
	f.local.Env = []string{programs, "FAKE=" + f.dir}
	return f
}

// run runs a script, and returns the lines that it prints.
func (f *faked) run(script, mode string, rules ...string) []string {
	f.t.Helper()
	args := []string{mode, filepath.Join(f.dir, "state")}
	if mode != "remove" {
		args = append(append(args, "eth0", "192.0.2.11"), rules...)
	}
	stdout, stderr, code := f.local.Script(f.t, "hostprep/firewall-"+script+".sh", args...)
	if code != 0 {
		f.t.Fatalf("%s: exit code %d: %s", mode, code, stderr)
	}
	if stdout == "" {
		return nil
	}
	return strings.Split(strings.TrimSpace(stdout), "\n")
}

func (f *faked) file(name string) string {
	content, err := os.ReadFile(filepath.Join(f.dir, name))
	if err != nil && !os.IsNotExist(err) {
		f.t.Fatal(err)
	}
	return string(content)
}

func (f *faked) same(what, want, name string) {
	f.t.Helper()
	if diff := cmp.Diff(want, f.file(name)); diff != "" {
		f.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

var wantedRules = []string{"pods 10.244.0.0/16", "services 10.96.0.0/12", "192.0.2.12 tcp 2379,10250", "192.0.2.12 vrrp -", "any tcp 6443,30000:32767"}

func TestFirewalldIsOpenedAndClosedAgain(t *testing.T) {
	t.Parallel()
	const (
		before  = "public rule rule family=\"ipv4\" port port=\"6443\" protocol=\"tcp\" accept\nwork source 192.0.2.200\n"
		current = before + "trusted source 10.96.0.0/12\n"
	)
	f := newFaked(t, map[string]string{"permanent": before, "runtime": current})
	opens := []string{
		"open zone trusted: 10.244.0.0/16",
		"open zone trusted: 10.96.0.0/12",
		`open zone public: rule family="ipv4" source address="192.0.2.12" port port="2379" protocol="tcp" accept`,
		`open zone public: rule family="ipv4" source address="192.0.2.12" port port="10250" protocol="tcp" accept`,
		`open zone public: rule family="ipv4" source address="192.0.2.12" protocol value="vrrp" accept`,
		`open zone public: rule family="ipv4" port port="30000-32767" protocol="tcp" accept`,
	}
	if diff := cmp.Diff(opens, f.run("firewalld", "check", wantedRules...)); diff != "" {
		t.Error(diff)
	}
	f.same("a check changes nothing", before, "permanent")
	if diff := cmp.Diff(opens, f.run("firewalld", "apply", wantedRules...)); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"permanent", "runtime"} {
		if got := f.file(name); strings.Count(got, "10.96.0.0/12") != 1 || strings.Count(got, `"30000-32767"`) != 1 || strings.Count(got, `"6443"`) != 1 {
			t.Errorf("%s: %s", name, got)
		}
	}
	// One command for each kind of rule, zone and configuration.
	f.same("commands", "permanent 5\npermanent 3\nruntime 5\nruntime 2\n", "log")
	for _, mode := range []string{"check", "apply"} {
		if got := f.run("firewalld", mode, wantedRules...); got != nil {
			t.Errorf("a second %s: %q", mode, got)
		}
	}
	// Another host takes the place of the first one.
	changes := f.run("firewalld", "apply", append([]string{"192.0.2.13 tcp 10250"}, wantedRules[:2]...)...)
	if len(changes) != 5 || !strings.HasPrefix(changes[0], `open zone public: rule family="ipv4" source address="192.0.2.13"`) || !strings.HasPrefix(changes[4], "close zone public: ") {
		t.Errorf("got %q", changes)
	}
	f.run("firewalld", "remove")
	f.same("the permanent configuration is as before", before, "permanent")
	f.same("the runtime configuration is as before", current, "runtime")
	if left := f.file("state"); left != "" {
		t.Errorf("state: %s", left)
	}
	if got := f.run("firewalld", "remove"); got != nil {
		t.Errorf("a second remove: %q", got)
	}
}

func TestAFirewalldThatIsStoppedIsClosed(t *testing.T) {
	t.Parallel()
	f := newFaked(t, map[string]string{"permanent": "", "runtime": ""})
	f.run("firewalld", "apply", wantedRules...)
	if err := os.WriteFile(filepath.Join(f.dir, "stopped"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.run("firewalld", "remove")
	f.same("the permanent configuration is as before", "", "permanent")
}

func TestARangeOfAnotherZoneIsAnError(t *testing.T) {
	t.Parallel()
	f := newFaked(t, map[string]string{"permanent": "", "runtime": ""})
	_, stderr, code := f.local.Script(t, "hostprep/firewall-firewalld.sh", "apply", filepath.Join(f.dir, "state"), "eth0", "192.0.2.11", "pods 10.66.0.0/16")
	if code != 18 || !strings.Contains(stderr, "ZONE_CONFLICT") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	// What a failed run may have added is known.
	if !strings.Contains(f.file("state"), "10.66.0.0/16") {
		t.Error("the state has no 10.66.0.0/16")
	}
}

func TestUFWIsOpenedAndClosedAgain(t *testing.T) {
	t.Parallel()
	const before = "ufw allow 22/tcp\nufw allow from 10.244.0.0/16 comment 'my pods'\nufw deny 8080/tcp comment 'slipway'x\n"
	f := newFaked(t, map[string]string{"rules": before})
	rules := append([]string{"192.0.2.12 ipip -"}, wantedRules...)
	opens := []string{
		"open allow from 192.0.2.12 to 192.0.2.11",
		"open route allow from 10.244.0.0/16",
		"open route allow to 10.244.0.0/16",
		"open allow from 10.96.0.0/12",
		"open allow from 192.0.2.12 to any port 2379,10250 proto tcp",
		"open allow from 192.0.2.12 proto vrrp",
		"open allow 6443,30000:32767/tcp",
	}
	if diff := cmp.Diff(opens, f.run("ufw", "check", rules...)); diff != "" {
		t.Error(diff)
	}
	f.same("a check changes nothing", before, "rules")
	f.run("ufw", "apply", rules...)
	for _, mode := range []string{"check", "apply"} {
		if got := f.run("ufw", mode, rules...); got != nil {
			t.Errorf("a second %s: %q", mode, got)
		}
	}
	changes := f.run("ufw", "apply", append([]string{"192.0.2.13 tcp 10250"}, wantedRules[:2]...)...)
	want := []string{
		"open allow from 192.0.2.13 to any port 10250 proto tcp",
		"close allow from 192.0.2.12 to 192.0.2.11",
		"close allow from 192.0.2.12 to any port 2379,10250 proto tcp",
		"close allow from 192.0.2.12 proto vrrp",
		"close allow 6443,30000:32767/tcp",
	}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Error(diff)
	}
	f.run("ufw", "remove")
	f.same("the rules are as before", before, "rules")
}
