//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/util/keyutil"
)

const (
	// certificateDays are what is left of the lifetime of certificates that apply renews.
	certificateDays = 30
	// renewalInterval is the time between two writes while certificates are renewed, and
	// renewalTimeout that for one of them, which a busy computer may miss. What counts is the
	// gap between two acknowledged ones, and that no acknowledged one is lost.
	renewalInterval = 100 * time.Millisecond
	renewalTimeout  = time.Second
	renewalBound    = time.Second
)

// certificateSteps are steps of a running cluster of three control planes: certificates of
// a year that expire soon are renewed, one host at a time, without a gap of the API.
func (h *ha) certificateSteps() []step {
	return []step{
		h.step("certificates that expire soon are put on the control planes", h.expireCertificates, true),
		h.step("plan shows which certificates are renewed", h.planRenewsCertificates, false),
		h.step("apply renews them one host at a time without a gap of the API", h.renewCertificates, true),
		h.step("an apply after the renewal changes nothing", h.changesNothing, false),
		h.step("a killed renewal is completed by apply", h.killedRenewal, false),
	}
}

// authoritySteps replace the CAs.
func (h *ha) authoritySteps() []step {
	return []step{h.step("the CAs are rotated as the documentation describes it", h.rotateCAs, true)}
}

// leaves are the files of kubeadm with certificates that a CA has signed, by that CA.
var leaves = map[string][]string{
	"ca":             {"apiserver.crt", "apiserver-kubelet-client.crt", "../admin.conf", "../controller-manager.conf", "../scheduler.conf"},
	"front-proxy-ca": {"front-proxy-client.crt"},
	"etcd/ca":        {"etcd/server.crt", "etcd/peer.crt", "etcd/healthcheck-client.crt", "apiserver-etcd-client.crt"},
}

var embeddedCertificate = regexp.MustCompile(`(?m)^(\s*client-certificate-data: )(\S+)$`)

// expireCertificates replaces certificates of all control planes by others with the same
// keys and names, which expire soon.
func (h *ha) expireCertificates(_ context.Context, t *testing.T) {
	for _, name := range h.controlPlanes() {
		pki := filepath.Join(h.lab.tree(name), "etc/kubernetes/pki")
		for ca, files := range leaves {
			for _, file := range files {
				expireCertificate(t, filepath.Join(pki, ca), filepath.Join(pki, file))
			}
		}
	}
}

// expireCertificate signs the certificate in a file or a kubeconfig again.
func expireCertificate(t *testing.T, ca, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(path, ".conf") {
		content = resign(t, ca, content)
	} else {
		found := embeddedCertificate.FindSubmatch(content)
		if found == nil {
			t.Fatalf("%s has no certificate", path)
		}
		before, err := base64.StdEncoding.DecodeString(string(found[2]))
		if err != nil {
			t.Fatal(err)
		}
		content = bytes.Replace(content, found[2], []byte(base64.StdEncoding.EncodeToString(resign(t, ca, before))), 1)
	}
	// In place, as kubeadm writes it: the file keeps its owner and its mode.
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// resign returns a certificate with another lifetime, in PEM.
func resign(t *testing.T, ca string, certificate []byte) []byte {
	t.Helper()
	authority := parsed(t, readFile(t, ca+".crt"))
	key, err := keyutil.ParsePrivateKeyPEM(readFile(t, ca+".key"))
	if err != nil {
		t.Fatal(err)
	}
	leaf := parsed(t, certificate)
	leaf.NotAfter = time.Now().AddDate(0, 0, certificateDays).Add(time.Hour)
	leaf.NotBefore = leaf.NotAfter.AddDate(-1, 0, 0)
	if leaf.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, authority, leaf.PublicKey, key.(crypto.Signer))
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func parsed(t *testing.T, text []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("no certificate")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// certificateStatus is what `slipway certificates list` prints.
type certificateStatus struct {
	Hosts []struct {
		Host         string
		Certificates []struct {
			Path      string
			DaysLeft  int
			RenewedBy string
			Due       bool
		}
	}
	Warnings []string
}

func (h *ha) certificates(ctx context.Context, t *testing.T) (status certificateStatus) {
	t.Helper()
	r := h.slipway.must(ctx, t, h.on("certificates", "list", "-o", "json")...)
	if err := json.Unmarshal([]byte(r.stdout), &status); err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	return status
}

// expiring counts the certificates that are due, by their hosts.
func (s certificateStatus) expiring() map[string]int {
	count := map[string]int{}
	for _, h := range s.Hosts {
		for _, c := range h.Certificates {
			if c.Due {
				count[h.Host]++
			}
		}
	}
	return count
}

func (h *ha) planRenewsCertificates(ctx context.Context, t *testing.T) {
	status := h.certificates(ctx, t)
	want := 0
	for _, files := range leaves {
		want += len(files)
	}
	for _, name := range h.controlPlanes() {
		if got := status.expiring()[name]; got != want {
			t.Errorf("%s has %d certificates that are due, want %d", name, got, want)
		}
	}
	if len(status.Warnings) < 3*want {
		t.Errorf("warnings: %q", status.Warnings)
	}
	r := h.slipway.must(ctx, t, h.on("plan", "-o", "json")...)
	for _, name := range h.controlPlanes() {
		renewed := 0
		for _, e := range events(t, r.stdout) {
			if e.Kind == "change" && e.Phase == "certificates" && e.Host == name && strings.HasPrefix(e.Message, "renew ") {
				renewed++
			}
		}
		if renewed != want {
			t.Errorf("the plan renews %d certificates on %s, want %d", renewed, name, want)
		}
	}
}

// renewCertificates applies while a client writes through the endpoint.
func (h *ha) renewCertificates(ctx context.Context, t *testing.T) {
	r := h.appliesWhileWriting(ctx, t, "renewal of the certificates of three control planes", renewalBound)
	h.oneAtATime(t, r)
	h.lasts(ctx, t)
}

// appliesWhileWriting applies while a client writes through the endpoint: no acknowledged
// write is lost, and the longest time between two of them is within the bound.
func (h *ha) appliesWhileWriting(ctx context.Context, t *testing.T, what string, bound time.Duration) result {
	t.Helper()
	writes := &numberedWrites{access: h.client.access}
	stop := inBackground(ctx, writes.run)
	from := time.Now()
	r := h.slipway.must(ctx, t, h.on("apply", "-o", "json")...)
	time.Sleep(2 * time.Second) // what apply restarted last may still be away
	stop()
	gap, failed := writes.result(from, time.Now())
	h.took(what, r.took)
	h.took(what+": longest gap between acknowledged writes", gap)
	t.Logf("%d writes were acknowledged, and %d not: %q", len(writes.names), len(failed), failed)
	if gap > bound {
		t.Errorf("no write was acknowledged for %s, want at most %s", gap, bound)
	}
	if lost, err := (&writer{access: h.client.access, pageSize: 500, acknowledged: writes.names}).lost(ctx); err != nil || len(lost) > 0 {
		t.Errorf("lost %q, %v", lost, err)
	}
	return r
}

// oneAtATime checks that no two hosts renew certificates at once.
func (h *ha) oneAtATime(t *testing.T, r result) {
	t.Helper()
	busy, renewed := "", 0
	for _, e := range events(t, r.stdout) {
		switch {
		case e.Phase != "certificates" || e.Host == "":
		case e.Kind == "change" && busy == "":
			busy = e.Host
		case e.Kind == "change" && busy != e.Host:
			t.Errorf("%s and %s renew certificates at once", busy, e.Host)
		case e.Kind == "phase-changed":
			busy, renewed = "", renewed+1
		}
	}
	if renewed != len(h.controlPlanes()) {
		t.Errorf("%d hosts renewed certificates", renewed)
	}
}

// lasts checks that no certificate expires soon, neither in the files nor in what the
// API servers serve.
func (h *ha) lasts(ctx context.Context, t *testing.T) {
	t.Helper()
	if status := h.certificates(ctx, t); len(status.expiring()) > 0 || len(status.Warnings) > 0 {
		t.Errorf("still due: %v, warnings %q", status.expiring(), status.Warnings)
	}
	for _, name := range h.controlPlanes() {
		address := strings.TrimPrefix(h.apiServer(name), "https://")
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // only the date counts
		if err != nil {
			t.Error(err)
			continue
		}
		if end := conn.ConnectionState().PeerCertificates[0].NotAfter; time.Until(end) < 300*24*time.Hour {
			t.Errorf("the API server of %s serves a certificate that expires on %s", name, end)
		}
		conn.Close()
	}
}

// killedRenewal kills slipway when it has changed a second control plane.
func (h *ha) killedRenewal(ctx context.Context, t *testing.T) {
	h.expireCertificates(ctx, t)
	hosts := map[string]bool{}
	h.slipway.interrupt(ctx, t, syscall.SIGKILL, func(e event) bool {
		if e.Kind == "change" && e.Phase == "certificates" {
			hosts[e.Host] = true
		}
		return len(hosts) == 2
	}, h.on("apply", "-o", "json")...)
	h.slipway.must(ctx, t, h.on("apply")...)
	h.lasts(ctx, t)
	h.changesNothing(ctx, t)
}

// numberedWrites creates numbered ConfigMaps at a steady rate, each on a connection of its
// own, and remembers when they were acknowledged.
type numberedWrites struct {
	access

	mu           sync.Mutex
	acknowledged []time.Time
	names        []string // of the acknowledged ones
	failed       []string
}

func (w *numberedWrites) run(ctx context.Context) {
	var writes sync.WaitGroup
	defer writes.Wait()
	tick := time.NewTicker(renewalInterval)
	defer tick.Stop()
	series := time.Now().UnixNano()
	for number := 0; ; number++ {
		writes.Go(func() { w.write(ctx, fmt.Sprintf("renewal-%d-%06d", series, number)) })
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (w *numberedWrites) write(ctx context.Context, name string) {
	limited, cancel := context.WithTimeout(ctx, renewalTimeout)
	defer cancel()
	object := fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q,"labels":{"slipway.io/e2e":"writer"}}}`, name)
	_, err := w.do(limited, http.MethodPost, writePath, object, http.StatusCreated)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		w.acknowledged, w.names = append(w.acknowledged, time.Now()), append(w.names, name)
	case ctx.Err() == nil:
		w.failed = append(w.failed, name+": "+reason(err))
	}
}

// result returns the longest time between two acknowledged writes, and the writes that
// failed.
func (w *numberedWrites) result(from, to time.Time) (gap time.Duration, failed []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.SortFunc(w.acknowledged, time.Time.Compare)
	return longestGap(w.acknowledged, from, to), w.failed
}

// rotateCAs runs docs/rotate-ca.sh as docs/certificates.md describes it.
func (h *ha) rotateCAs(ctx context.Context, t *testing.T) {
	const script, next = "/root/rotate-ca.sh", "etc/kubernetes/ca-next"
	h.stop() // their kubeconfig has the old CA
	h.checkWritten(ctx, t)
	content := readFile(t, "../docs/rotate-ca.sh")
	for _, m := range h.lab.Machines {
		if err := os.WriteFile(filepath.Join(h.lab.tree(m.Name), script), content, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	run := func(machine, arguments string) string {
		return h.mustSSH(ctx, t, machine, "sh "+script+" "+arguments+" </dev/null")
	}
	controlPlanes := h.controlPlanes()
	nodes := slices.Clone(controlPlanes)
	for _, name := range h.lab.names() {
		if !slices.Contains(nodes, name) {
			nodes = append(nodes, name)
		}
	}
	first := controlPlanes[0]
	before := parsed(t, readFile(t, filepath.Join(h.lab.tree(first), "etc/kubernetes/pki/ca.crt")))
	run(first, "new "+h.version(t))
	for _, name := range nodes[1:] {
		if slices.Contains(controlPlanes, name) {
			if err := os.CopyFS(filepath.Join(h.lab.tree(name), next), os.DirFS(filepath.Join(h.lab.tree(first), next))); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.Mkdir(filepath.Join(h.lab.tree(name), next), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(h.lab.tree(name), next, "ca.crt"), string(readFile(t, filepath.Join(h.lab.tree(first), next, "ca.crt"))))
	}
	for _, name := range nodes {
		run(name, "trust")
	}
	h.restartPods(ctx, t, first)
	for _, name := range controlPlanes {
		run(name, "switch")
	}
	for _, name := range nodes {
		issued := run(first, "issue "+name)
		h.mustSSH(ctx, t, name, "sh "+script+" take <<'PEM'\n"+strings.TrimSpace(issued)+"\nPEM\n")
	}
	for _, name := range nodes {
		run(name, "forget")
	}
	h.restartPods(ctx, t, first)
	h.slipway.must(ctx, t, h.on("apply")...)
	h.changesNothing(ctx, t)
	h.validate(ctx, t)
	for _, name := range nodes {
		after := parsed(t, readFile(t, filepath.Join(h.lab.tree(name), "etc/kubernetes/pki/ca.crt")))
		if after.Equal(before) {
			t.Errorf("%s has the old CA", name)
		}
	}
	h.start(ctx, t) // with the new kubeconfig
}

// restartPods restarts what uses the API server in pods, and waits until it is rolled out.
func (h *ha) restartPods(ctx context.Context, t *testing.T, machine string) {
	t.Helper()
	time.Sleep(10 * time.Second) // until kube-root-ca.crt has the CAs
	h.mustSSH(ctx, t, machine, `export KUBECONFIG=/etc/kubernetes/admin.conf PATH=/usr/local/bin:$PATH
		for kind in deployments daemonsets statefulsets; do
			kubectl get $kind -A -o jsonpath='{range .items[*]}{.metadata.namespace} {.metadata.name}{"\n"}{end}' |
				while read -r namespace name; do
					kubectl -n "$namespace" rollout restart "$kind" "$name" </dev/null
					kubectl -n "$namespace" rollout status --timeout 5m "$kind" "$name" </dev/null
				done
		done`)
}
