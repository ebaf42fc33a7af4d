package facts

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/templates"
)

// kubernetesFiles are files as kubeadm and kubelet write them, by path.
func kubernetesFiles(t *testing.T) map[string]string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	ec, err := x509.MarshalECPrivateKey(key)
	private := block("EC PRIVATE KEY", ec, err)
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	pub := block("PUBLIC KEY", public, err)
	large, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey := block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(large), nil)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubernetes"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	certificate := block("CERTIFICATE", der, err)

	data := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	kubeconfig := func(user string) string {
		return "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: " + data(certificate) +
			"\n    server: https://192.0.2.11:6443\n  name: kubernetes\ncontexts:\n- context:\n    cluster: kubernetes\n    user: admin\n" +
			"  name: admin@kubernetes\ncurrent-context: admin@kubernetes\nkind: Config\nusers:\n- name: admin\n  user:\n" + user
	}
	files := map[string]string{
		"/etc/kubernetes/pki/ca.crt":          certificate,
		"/etc/kubernetes/pki/ca.key":          rsaKey,
		"/etc/kubernetes/pki/sa.pub":          pub,
		"/etc/kubernetes/pki/etcd/server.key": private,
		"/etc/kubernetes/kubelet.conf": kubeconfig("    client-certificate: /var/lib/kubelet/pki/kubelet-client-current.pem\n" +
			"    client-key: /var/lib/kubelet/pki/kubelet-client-current.pem\n"),
		"/etc/kubernetes/bootstrap-kubelet.conf":    kubeconfig("    token: abcdef.0123456789abcdef\n"),
		"/var/lib/kubelet/pki/kubelet-client-1.pem": certificate + private,
		"/var/lib/kubelet/kubeadm-flags.env":        "KUBELET_KUBEADM_ARGS=\"--node-ip=192.0.2.11\"\n",
		"/etc/kubernetes/manifests/etcd.yaml":       "apiVersion: v1\nkind: Pod\nspec:\n  hostNetwork: true\nstatus: {}\n",
	}
	// Base64 pads the keys of these lengths in each of its three ways.
	for i := range 3 {
		text := "# " + strings.Repeat("x", i) + "\n" + rsaKey
		files[fmt.Sprintf("/etc/kubernetes/admin-%d.conf", i)] = kubeconfig("    client-certificate-data: " + data(certificate) +
			"\n    client-key-data: " + data(text) + "\n")
	}
	return files
}

// filesIn runs facts.sh with the files below root instead of those of the host.
func filesIn(t *testing.T, root string) Kubernetes {
	t.Helper()
	script := string(templates.Script("facts/facts.sh"))
	script = script[:strings.Index(script, "\nfact time ")] + script[strings.Index(script, "\n# The files that kubeadm"):]
	for _, dir := range []string{"/etc/kubernetes", "/var/lib/kubelet"} {
		script = strings.ReplaceAll(script, dir+"/", root+dir+"/")
	}
	res, err := hosttest.Local{}.Query(t.Context(), host.Script("facts.sh", []byte(script)))
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse([]byte("arch\tx86_64\nkernel\t6\n"+strings.ReplaceAll(string(res.Stdout), root, "")), time.Now(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return f.Kubernetes
}

// place writes a file. A kubeconfig that names a certificate names one that exists.
func place(t *testing.T, path, content string) {
	t.Helper()
	content = strings.ReplaceAll(content, "/var/lib/kubelet/pki/kubelet-client-current.pem", existingPEM)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// existingPEM is a file that every host has, with the ending of a certificate.
const existingPEM = "/proc/self/cwd/testdata/current.pem"

func TestAKubeconfigOfAMissingCertificateIsDamaged(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	const path = "/etc/kubernetes/kubelet.conf"
	place(t, root+path, strings.ReplaceAll(kubernetesFiles(t)[path], "kubelet-client-current.pem", "kubelet-client-gone.pem"))
	if got := filesIn(t, root).Damaged(); !slices.Equal(got, []string{path}) {
		t.Errorf("damaged: %q", got)
	}
}

func TestIntactFilesOfKubernetesAreRecognised(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	files := kubernetesFiles(t)
	for path, content := range files {
		place(t, root+path, content)
	}
	got := filesIn(t, root)
	if damaged := got.Damaged(); len(damaged) > 0 {
		t.Errorf("damaged: %q", damaged)
	}
	for path := range files {
		if !got.Intact(path) {
			t.Errorf("%s is not listed", path)
		}
	}
	if got.Intact("/etc/kubernetes/pki/none.crt") {
		t.Error("a file that does not exist is intact")
	}
}

// A power loss leaves the beginning of a file, or zeros.
func TestTruncatedFilesOfKubernetesAreDamaged(t *testing.T) {
	t.Parallel()
	for path, content := range kubernetesFiles(t) {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			ext := filepath.Ext(path)
			want := map[string]string{}
			add := func(name, content string) {
				copied := strings.TrimSuffix(path, ext) + "-" + name + ext
				if filepath.Base(path) == "kubeadm-flags.env" || filepath.Base(path) == "etcd.yaml" {
					return // found by its name
				}
				place(t, root+copied, content)
				want[copied] = name
			}
			// Readers accept a file without its last newline, but not a shorter one.
			for length := range len(content) - 1 {
				// Each length around the ends of lines, and at the end; others are alike.
				near := strings.Contains(content[max(0, length-3):length+2], "\n") || length > len(content)-120
				if near || length%97 == 0 {
					add(fmt.Sprint(length), content[:length])
				}
			}
			add("zeros", strings.Repeat("\x00", len(content)))
			add("part", content[:len(content)/2]+strings.Repeat("\x00", len(content)-len(content)/2))
			damaged := filesIn(t, root).Damaged()
			for _, copied := range slices.Sorted(maps.Keys(want)) {
				if !slices.Contains(damaged, copied) {
					t.Errorf("%s of %d bytes is not damaged", want[copied], len(content))
				}
			}
		})
	}
}

func TestEmptyFilesOfKubernetesAreDamaged(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	files := kubernetesFiles(t)
	files["/var/lib/kubelet/config.yaml"] = ""
	for path := range files {
		place(t, root+path, "")
	}
	if err := os.Symlink("missing.pem", root+"/var/lib/kubelet/pki/kubelet-client-current.pem"); err != nil {
		t.Fatal(err)
	}
	files["/var/lib/kubelet/pki/kubelet-client-current.pem"] = ""
	damaged := filesIn(t, root).Damaged()
	for path := range files {
		if !slices.Contains(damaged, path) {
			t.Errorf("%s is not damaged", path)
		}
	}
}

func TestACertificateThatDoesNotDecodeIsDamaged(t *testing.T) {
	t.Parallel()
	const path = "/etc/kubernetes/pki/ca.crt"
	k := Kubernetes{
		Files:        []KubeFile{{Path: path}},
		Certificates: []Certificate{{Path: path, PEM: []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")}},
	}
	if !slices.Equal(k.Damaged(), []string{path}) || k.Intact(path) {
		t.Errorf("damaged: %q", k.Damaged())
	}
}
