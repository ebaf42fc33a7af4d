package facts

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/templates"
)

// certificatesIn runs the part of facts.sh that reads certificates, with the files and
// the processes below root.
func certificatesIn(t *testing.T, root, pids string) Kubernetes {
	t.Helper()
	script := string(templates.Script("facts/facts.sh"))
	begin, end := strings.Index(script, "\nfor certificate in /etc/kubernetes/pki"), strings.Index(script, "\n# The cluster of this host")
	script = script[:strings.Index(script, "\nfact time ")] + script[begin:end] + "\nexit 0\n"
	for _, dir := range []string{"/etc/kubernetes/", "/var/lib/kubelet/", "/proc/"} {
		script = strings.ReplaceAll(script, dir, root+dir)
	}
	local := hosttest.Local{Env: []string{hosttest.Programs(t, map[string]string{"pgrep": "printf '" + pids + "'"})}}
	res, err := local.Query(t.Context(), host.Script("facts.sh", []byte(script)))
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse([]byte("arch\tx86_64\nkernel\t6\n"+strings.ReplaceAll(string(res.Stdout), root, "")), time.Now(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return f.Kubernetes
}

func TestTheScriptReadsCertificatesWithoutKeys(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	const block = "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n"
	place(t, root+"/etc/kubernetes/pki/apiserver.crt", block)
	place(t, root+"/etc/kubernetes/admin.conf", "users:\n- user:\n    client-certificate-data: YWRtaW4=\n    client-key-data: c2VjcmV0\n")
	place(t, root+"/etc/kubernetes/kubelet.conf", "users:\n- user:\n    client-certificate-data: YWRtaW4=\n")
	place(t, root+"/var/lib/kubelet/pki/kubelet-server-current.pem", block+"-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n-----END EC PRIVATE KEY-----\n")
	got := map[string]string{}
	for _, c := range certificatesIn(t, root, "").Certificates {
		got[c.Path] = string(c.PEM)
	}
	want := map[string]string{
		"/etc/kubernetes/pki/apiserver.crt": block, "/etc/kubernetes/admin.conf": "admin",
		"/var/lib/kubelet/pki/kubelet-server-current.pem": block,
	}
	for path := range want {
		if got[path] != want[path] {
			t.Errorf("%s: got %q", path, got[path])
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %q", got)
	}
}

func TestTheScriptReadsWhenStaticPodsStarted(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "getconf", "CLK_TCK").Output()
	if err != nil {
		t.Skip("no getconf")
	}
	hz, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	place(t, root+"/proc/stat", "cpu 1 2 3\nintr 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23\nbtime 1700000000\n")
	for pid, process := range map[string]struct{ name, cgroup string }{
		"7": {"kube-controller", "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod64cf576c716086e51505295fbae858f0.slice/cri-containerd-1.scope"},
		"8": {"kube-scheduler", "0::/kubepods/burstable/podaa0c21e04337c6b75792d6043aa19eab/445"},
		"9": {"kube-vip", "0::/kubepods.slice/kubepods-pod64cf576c_7160_86e5_1505_295fbae858f0.slice/cri-containerd-2.scope"}, // not a static pod
	} {
		place(t, filepath.Join(root, "proc", pid, "cgroup"), process.cgroup+"\n")
		place(t, filepath.Join(root, "proc", pid, "stat"), pid+" ("+process.name+") S "+strings.Repeat("0 ", 18)+strconv.Itoa(5*hz)+" 0 0\n")
	}
	conf := root + "/etc/kubernetes/scheduler.conf"
	place(t, conf, "x")
	written := time.Unix(1_600_000_000, 0)
	if err := os.Chtimes(conf, written, written); err != nil {
		t.Fatal(err)
	}
	got := certificatesIn(t, root, `7\n8\n9\n10\n`)
	at := time.Unix(1_700_000_005, 0)
	if len(got.Started) != 2 || !got.Started["kube-controller-manager"].Equal(at) || !got.Started["kube-scheduler"].Equal(at) {
		t.Errorf("started %v", got.Started)
	}
	if len(got.Written) != 1 || !got.Written["/etc/kubernetes/scheduler.conf"].Equal(written) {
		t.Errorf("written %v", got.Written)
	}
}
