package reset

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/templates"
)

// namespace runs shell commands in a network namespace of their own, which ends with
// them: first setUp, then scripts of this stage with the same arguments, then show.
// It returns what the scripts and show print.
func namespace(t *testing.T, setUp, show string, scripts []string, args ...string) (output, shown string) {
	t.Helper()
	skip := t.Skipf
	if os.Getenv("CI") != "" && os.Geteuid() == 0 {
		skip = t.Fatalf
	}
	if os.Geteuid() != 0 {
		skip("network namespaces need root")
	}
	for _, program := range []string{"unshare", "ip", "iptables-nft", "iptables-legacy", "ip6tables-nft"} {
		if _, err := exec.LookPath(program); err != nil {
			skip("%v", err)
		}
	}
	if out, err := exec.Command("unshare", "--net", "true").CombinedOutput(); err != nil {
		skip("unshare --net: %s", out)
	}
	dir := t.TempDir()
	commands := "set -eu\n: >" + dir + "/output\nip link set lo up\n(" + setUp + "\n) >&2\n"
	for _, name := range scripts {
		path := filepath.Join(dir, name)
		write(t, path, string(templates.Script("reset/"+name)), 0o600)
		commands += "sh -s -- \"$@\" <" + path + " >>" + dir + "/output\n"
	}
	commands += show + "\n"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", append([]string{"--net", "sh", "-c", commands, "sh"}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	return contents(t, dir+"/output"), string(out)
}

// listRules prints all rules. The tables that rules of the cluster created stay, empty:
// it creates them.
const listRules = `
for v in iptables-nft iptables-legacy ip6tables-nft; do
	for table in nat mangle filter; do echo $v $table; $v -t $table -S; done
done`

// foreignRules are rules that look a little like those of Kubernetes.
const foreignRules = `
for v in iptables-nft iptables-legacy ip6tables-nft; do
	$v -t nat -N DOCKER
	$v -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
	$v -t nat -A POSTROUTING -o docker0 -j MASQUERADE
	$v -N MY-KUBE-RULES
	$v -A INPUT -p tcp --dport 22 -m comment --comment "kubernetes jump host" -j ACCEPT
	$v -A INPUT -p tcp --dport 23 -m comment --comment 'say "cali:x" and $(exit 1) \ KUBE-SERVICES' -j ACCEPT
	$v -A INPUT -p tcp --dport 24 -m comment --comment "cali:california" -j ACCEPT
	$v -A FORWARD -j MY-KUBE-RULES
	$v -P FORWARD DROP
done
`

// clusterRules are those of kubelet, kube-proxy, Flannel and Calico.
const clusterRules = `
for v in iptables-nft iptables-legacy ip6tables-nft; do
	$v -t nat -N KUBE-SERVICES
	$v -t nat -N KUBE-SVC-1
	$v -t nat -I PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
	$v -t nat -A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
	$v -t nat -A KUBE-SERVICES -m comment --comment 'a/b "x" cluster IP' -j KUBE-SVC-1
	$v -t mangle -N KUBE-KUBELET-CANARY
	$v -N KUBE-FIREWALL
	$v -A INPUT -j KUBE-FIREWALL
	$v -A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP
	$v -A FORWARD -m comment --comment "flanneld forward" -j ACCEPT
	$v -t nat -N FLANNEL-POSTRTG
	$v -t nat -A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG
	$v -N cali-INPUT
	$v -N cali-wl-to-host
	$v -A INPUT -m comment --comment "cali:Cz_u1IQiXIMmKD4c" -j cali-INPUT
	$v -A cali-INPUT -g cali-wl-to-host
	$v -A FORWARD -m comment --comment "cali:S93hcgKJrXEqnTfs" -m comment --comment "Policy explicitly accepted packet." -m mark --mark 0x10000/0x10000 -j ACCEPT
done
`

// cniRules are those of the CNI plugins bridge and portmap for a network and a
// container.
func cniRules(network, container, chain string) string {
	return fmt.Sprintf(`
iptables-nft -t nat -N CNI-%[3]s
iptables-nft -t nat -A POSTROUTING -s 10.1.0.5/32 -m comment --comment 'name: "%[1]s" id: "%[2]s"' -j CNI-%[3]s
iptables-nft -t nat -A CNI-%[3]s ! -d 224.0.0.0/4 -m comment --comment 'name: "%[1]s" id: "%[2]s"' -j MASQUERADE
iptables-nft -t nat -N CNI-DN-%[3]s
iptables-nft -t nat -A CNI-HOSTPORT-DNAT -p tcp -m comment --comment 'dnat name: "%[1]s" id: "%[2]s"' -m tcp --dport 80 -j CNI-DN-%[3]s
iptables-nft -t nat -A CNI-DN-%[3]s -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.1.0.5:80
`, network, container, chain)
}

const portmapRules = `
for chain in DNAT SETMARK MASQ; do iptables-nft -t nat -N CNI-HOSTPORT-$chain; done
iptables-nft -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
iptables-nft -t nat -A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ
iptables-nft -t nat -A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000
`

func TestRulesScriptDeletesOnlyTheRulesOfTheCluster(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, foreign, cluster string }{
		{"rules of kube-proxy, Flannel and Calico", foreignRules, clusterRules},
		{"no rules of the cluster", foreignRules, ""},
		{"rules that CNI plugins added for pods", foreignRules, portmapRules + cniRules("cbr0", "1", "a") + cniRules("k8s-pod-network", "2", "b") + cniRules("mine", "sandbox", "c")},
		{"chains of CNI plugins that others use too", portmapRules + cniRules("podman", "3", "d"), cniRules("cbr0", "4", "e")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			list := t.TempDir() + "/pods"
			write(t, list, "sandbox cni-1234\n", 0o600)
			_, want := namespace(t, test.foreign, listRules, nil)
			out, got := namespace(t, test.foreign+test.cluster, listRules, []string{"rules.sh"}, list)
			if out != "" {
				t.Errorf("it left something: %s", out)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNetworkScriptDeletesOnlyTheLinksAndRoutesOfTheCluster(t *testing.T) {
	t.Parallel()
	const foreign = `
		ip link add eth0 type bridge && ip link set eth0 up && ip addr add 192.0.2.11/24 dev eth0
		ip link add br0 type bridge && ip link set br0 up && ip addr add 172.17.0.1/16 dev br0
		ip route add 198.51.100.0/24 via 192.0.2.1
		ip route add blackhole 203.0.113.0/24
		ip route add 10.245.0.0/24 via 192.0.2.12`
	tests := []struct{ name, foreign, cluster string }{
		{"Flannel with VXLAN", foreign, `
			ip link add cni0 type bridge && ip link set cni0 up && ip addr add 10.244.0.1/24 dev cni0
			ip link add flannel.1 type vxlan id 1 dstport 8472 && ip link set flannel.1 up && ip addr add 10.244.0.0/32 dev flannel.1
			ip route add 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink`},
		{"Flannel with host-gw", foreign, "ip route add 10.244.1.0/24 via 192.0.2.12\nip route add 10.244.2.0/24 via 192.0.2.13 metric 50"},
		{"Calico", foreign, `
			ip link add cali0123456789a type veth peer name eth1 && ip link set cali0123456789a up
			ip link add vxlan.calico type vxlan id 4096 dstport 4789 && ip link set vxlan.calico up
			ip route add blackhole 10.32.176.0/26 proto 80
			ip route add 10.32.177.0/26 via 192.0.2.12 proto 80
			ip route add blackhole 10.244.64.0/26 proto bird
			ip route add 10.244.65.0/26 via 192.0.2.12 proto bird`},
		{"kube-proxy with IPVS", foreign, "ip link add kube-ipvs0 type bridge && ip addr add 10.96.0.1/32 dev kube-ipvs0"},
		{"a bridge of the default name that is not Flannel's", foreign + "\nip link add cni0 type bridge && ip link set cni0 up && ip addr add 10.88.0.1/16 dev cni0", ""},
		{"no network of the cluster", foreign, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			const show = `ip -o link show | cut -d ' ' -f 2 | sort; ip route show | sort; ip -o addr show | awk '{ print $2, $4 }' | grep -v : | sort`
			_, want := namespace(t, test.foreign, show, nil)
			out, got := namespace(t, test.foreign+"\n"+test.cluster, show, []string{"network.sh"}, "10.244.0.0/16", "/nonexistent")
			if out != "" {
				t.Errorf("it left something: %s", out)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNetworkScriptDeletesTheNamespacesOfPods(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/pods", "1 cni-1\n2 \n3 cni-1\n4 cni-gone\n", 0o600)
	sh(t, "reset/network.sh", map[string]string{"ip": `case "$*" in
		"netns list") printf 'cni-1 (id: 0)\ncni-12\nmine\n' ;;
		netns*) echo "$*" >>` + dir + `/calls ;;
		esac`}, "10.244.0.0/16", dir+"/pods")
	if diff := cmp.Diff("netns delete cni-1\n", contents(t, dir+"/calls")); diff != "" {
		t.Error(diff)
	}
}

// The kernel module that creates tunl0 does not let anybody delete it.
func TestNetworkScriptEmptiesTheTunnelOfCalico(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, others, want string }{
		{"no other address", "", "addr flush dev tunl0 to 10.244.0.0/16\nlink set dev tunl0 down\n"},
		{"an address of others", "9: tunl0 inet 198.51.100.1/32", "addr flush dev tunl0 to 10.244.0.0/16\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir+"/calls", "", 0o600)
			sh(t, "reset/network.sh", map[string]string{"ip": `case "$*" in
				"-o addr show dev tunl0 to 10.244.0.0/16") echo '9: tunl0 inet 10.244.64.0/32' ;;
				"-o -4 addr show dev tunl0") echo "` + test.others + `" ;;
				addr*|"link set"*) echo "$*" >>` + dir + `/calls ;;
				esac`}, "10.244.0.0/16", dir+"/pods")
			if diff := cmp.Diff(test.want, contents(t, dir+"/calls")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSetsScriptDeletesOnlyWhatTheClusterNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	note := `echo "$(basename "$0") $*" >>` + dir + "/calls"
	out := sh(t, "reset/sets.sh", map[string]string{
		"nft":   `if [ "$*" = "list tables" ]; then printf 'table %s\n' 'inet filter' 'ip kube-proxy' 'ip6 kube-proxy' 'arp calico-arp' 'inet kube-proxy' 'ip mine'; else ` + note + `; fi`,
		"ipset": `if [ "$*" = "list -n" ]; then printf '%s\n' KUBE-CLUSTER-IP cali40all-ipam-pools mine california; else ` + note + `; [ "$2" != KUBE-CLUSTER-IP ]; fi`,
		"ip":    `[ "$1" = -o ] && echo '5: kube-ipvs0 inet 10.96.0.1/32 scope global kube-ipvs0'; exit 0`,
		"ipvsadm": `if [ "$*" = "--save --numeric" ]; then printf '%s\n' '-A -t 10.96.0.1:443 -s rr' '-a -t 10.96.0.1:443 -r 192.0.2.11:6443 -m -w 1' \
			'-A -t 192.0.2.11:30080 -s rr' '-A -t 192.0.2.100:80 -s rr' '-A -f 30001 -s rr'; else ` + note + `; fi`,
	})
	want := "nft delete table ip kube-proxy\nnft delete table ip6 kube-proxy\nnft delete table arp calico-arp\n" +
		"ipvsadm --delete-service -t 10.96.0.1:443\nipvsadm --delete-service -t 192.0.2.11:30080\n" +
		"ipset destroy KUBE-CLUSTER-IP\nipset destroy cali40all-ipam-pools\n"
	if diff := cmp.Diff(want, contents(t, dir+"/calls")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff("could not delete the ipset KUBE-CLUSTER-IP\n", out); diff != "" {
		t.Error(diff)
	}
}

// Calico's image has its own ipset.
func TestSetsScriptSaysThatTheSetsOfCalicoStay(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ file, want string }{
		"Calico was here": {"/nodename", "ipset is not installed: the ipsets of Calico stay, unused, until the next boot\n"},
		"no Calico":       {"/other", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			write(t, root+test.file, "w1", 0o600)
			script := string(templates.Script("reset/sets.sh"))
			script = strings.NewReplacer("command -v ipset", "command -v no-ipset", "/var/lib/calico/nodename", root+"/nodename").Replace(script)
			local := hosttest.Local{Env: []string{hosttest.Programs(t, map[string]string{"nft": "exit 1", "ip": "exit 1", "ipvsadm": "exit 1"})}}
			res, err := local.Run(t.Context(), host.Script("sets.sh", []byte(script)))
			if err != nil || string(res.Stdout) != test.want {
				t.Errorf("%v: it printed %q, want %q", err, res.Stdout, test.want)
			}
		})
	}
}

// A host may have none of these programs.
func TestSetsScriptNeedsNoPrograms(t *testing.T) {
	t.Parallel()
	failing := map[string]string{}
	for _, name := range []string{"nft", "ipset", "ip", "ipvsadm"} {
		failing[name] = "exit 1"
	}
	if out := sh(t, "reset/sets.sh", failing); out != "" {
		t.Errorf("it printed %q", out)
	}
}
