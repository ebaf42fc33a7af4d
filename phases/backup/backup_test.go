package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/backup"
	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const one = "metadata: {name: lab}\nhosts:\n  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}\n"

const apiServer = `apiVersion: v1
kind: Pod
spec:
  containers:
  - command: [kube-apiserver, --advertise-address=192.0.2.11, --encryption-provider-config=/etc/kubernetes/enc/keys.yaml]
`

var now = time.Date(2026, 7, 31, 10, 0, 0, 0, time.UTC)

// running is a fixture whose control plane runs etcd and has keys.
func running(t *testing.T, inventory string) (*workflowtest.Fixture, *hosttest.Fake) {
	t.Helper()
	fixture := workflowtest.New(t, inventory)
	fake := fixture.Host("cp-1")
	f := fixture.Facts("cp-1")
	f.Existing = []facts.Path{facts.CAKey, facts.EtcdMember, facts.APIServerManifest, facts.KubeletConf}
	f.Kubernetes.StaticPods = map[string]string{"etcd": "registry.k8s.io/etcd:3.6.8-0"}
	fixture.ServeEtcd("cp-1", `{"ID":"1","name":"cp-1","clientURLs":["https://192.0.2.11:2379"]}`)
	for _, name := range []string{"ca.crt", "ca.key", "sa.key", "sa.pub", "front-proxy-ca.crt", "front-proxy-ca.key", "etcd/ca.key"} {
		fake.Put("/etc/kubernetes/pki/"+name, "content of "+name)
	}
	fake.Put("/etc/kubernetes/manifests/kube-apiserver.yaml", apiServer)
	fake.Put("/etc/kubernetes/enc/keys.yaml", "content of keys.yaml")
	fixture.Hosts.SetState(&cluster.State{Exists: true, Version: "v1.36.4", Fixed: cluster.Fixed{PodSubnet: "10.244.0.0/16"}, Record: &cluster.Record{}})
	return fixture, fake
}

// expectSnapshot expects that a snapshot is taken, copied and deleted.
func expectSnapshot(fake *hosttest.Fake, content string) {
	sum := sha256.Sum256([]byte(content))
	fake.ExpectRunScript("etcd-snapshot.sh", saved).Returns(fmt.Sprintf(
		"image registry.k8s.io/etcd:3.6.8-0\nsize %d\nsha256 %s\nstatus {\"hash\":7,\"revision\":42,\"totalKey\":12,\"version\":\"3.6.0\"}\n", len(content), hex.EncodeToString(sum[:])))
	fake.ExpectQuery("dd", "if="+saved, "bs=8388608", "skip=0", "count=1", "iflag=fullblock", "status=none").Returns(content)
	fake.ExpectRun("rm", "-f", saved)
}

func TestABackupHasTheSnapshotAndTheKeys(t *testing.T) {
	t.Parallel()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	fixture, fake := running(t, one)
	expectSnapshot(fake, "the snapshot")
	var got Result
	fixture.MustApply(Create(Options{Dir: t.TempDir(), Recipients: []age.Recipient{identity.Recipient()}, Now: now}, func(r Result) error { got = r; return nil }))
	if len(got.Notes) != 0 || !got.Manifest.PKI || got.Manifest.Kubernetes != "v1.36.4" || got.Manifest.Fixed.PodSubnet != "10.244.0.0/16" {
		t.Errorf("got %+v", got)
	}
	content, err := backup.Open(t.Context(), got.Path, t.TempDir(), []age.Identity{identity})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ca.crt", "ca.key", "sa.key", "sa.pub", "front-proxy-ca.crt", "front-proxy-ca.key", "etcd/ca.key"} {
		if text := string(content.Files[backup.HostName("/etc/kubernetes/pki/"+name)]); text != "content of "+name {
			t.Errorf("%s is %q", name, text)
		}
	}
	if text := string(content.Files[backup.HostName("/etc/kubernetes/enc/keys.yaml")]); text != "content of keys.yaml" {
		t.Errorf("the encryption configuration is %q", text)
	}
	if content.Files[backup.RecordName] == nil {
		t.Error("it has no record")
	}
	if text, err := os.ReadFile(content.Snapshot); err != nil || string(text) != "the snapshot" {
		t.Errorf("the snapshot is %q, %v", text, err)
	}
}

func TestWithoutEncryptionNoPrivateKeyLeavesTheHost(t *testing.T) {
	t.Parallel()
	fixture, fake := running(t, one)
	expectSnapshot(fake, "the snapshot")
	dir := t.TempDir()
	var got Result
	fixture.MustApply(Create(Options{Dir: dir, Now: now}, func(r Result) error { got = r; return nil }))
	if got.Manifest.PKI || len(got.Notes) != 2 || !strings.Contains(got.Notes[0], "no private keys") || !strings.Contains(got.Notes[0], "--keys-from") {
		t.Errorf("got %+v", got)
	}
	if strings.Contains(fake.Transcript(), "/etc/kubernetes/pki/ca.key") {
		t.Error("it read a private key")
	}
	content, err := backup.Open(t.Context(), got.Path, t.TempDir(), nil)
	if err != nil || len(content.Files) != 1 {
		t.Errorf("it has %v, %v", content.Files, err)
	}
}

func TestABackupThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		expect func(*hosttest.Fake)
		want   string
	}{
		{"no snapshot", func(f *hosttest.Fake) { f.ExpectRunScript("etcd-snapshot.sh", saved).Fails(1, "deadline exceeded") }, "deadline exceeded"},
		{"a snapshot that changes on the way", func(f *hosttest.Fake) {
			f.ExpectRunScript("etcd-snapshot.sh", saved).Returns("image i\nsize 12\nsha256 " + strings.Repeat("0", 64) + "\nstatus {\"hash\":7,\"revision\":42,\"totalKey\":12}\n")
			f.ExpectQuery("dd", "if="+saved, "bs=8388608", "skip=0", "count=1", "iflag=fullblock", "status=none").Returns("the snapshot")
			f.ExpectRun("rm", "-f", saved)
		}, "checksum"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture, fake := running(t, one)
			test.expect(fake)
			dir := t.TempDir()
			err := fixture.Apply(Create(Options{Dir: dir, Now: now}, func(Result) error { return nil }))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
			if left, _ := filepath.Glob(dir + "/*"); len(left) > 0 {
				t.Errorf("it left %v", left)
			}
			if left, _ := filepath.Glob(dir + "/.*"); len(left) > 0 {
				t.Errorf("it left %v", left)
			}
		})
	}
}

func TestNoBackupWithoutAHealthyMember(t *testing.T) {
	t.Parallel()
	t.Run("no host runs etcd", func(t *testing.T) {
		t.Parallel()
		err := workflowtest.New(t, one).Apply(Create(Options{Dir: t.TempDir(), Now: now}, nil))
		if err == nil || !strings.Contains(err.Error(), "no host that can be reached runs etcd") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("etcd runs elsewhere", func(t *testing.T) {
		t.Parallel()
		err := workflowtest.New(t, one+"etcd: {external: {endpoints: ['https://192.0.2.31:2379'], caFile: a, certFile: b, keyFile: c}}\n").Apply(Create(Options{Dir: t.TempDir(), Now: now}, nil))
		if err == nil || !strings.Contains(workflow.Hint(err), "etcdctl snapshot save") {
			t.Errorf("got %v", err)
		}
	})
}

func TestTheTimerIsSetUpOnce(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one+"backup: {schedule: '*-*-* 03:30', retention: 3}\n")
	fake := fixture.Host("cp-1")
	fake.ExpectRunScript("backup-timer.sh", timer, "*-*-* 03:30")
	fixture.MustApply(Timer())
	unit, _ := fake.File(unitFile)
	if want := "ExecStart=/bin/sh " + program + " /var/backups/slipway/.snapshot.db lab cp-1 v1.36.4 " + fixedFile + " 3\n"; !strings.Contains(string(unit.Content), want) {
		t.Errorf("the service is\n%s", unit.Content)
	}
	if file, _ := fake.File(timerFile); !strings.Contains(string(file.Content), "OnCalendar=*-*-* 03:30\n") {
		t.Errorf("the timer is\n%s", file.Content)
	}
	if diff := cmp.Diff([]string{"systemctl disable --quiet --now " + timer}, fixture.Undo("cp-1")); diff != "" {
		t.Error(diff)
	}
	fake.ExpectService(timer)
	fixture.MustApply(Timer())
	if changes := fixture.Changes(); len(changes) > 0 {
		t.Errorf("a second apply changes %v", changes)
	}
}

func TestTheTimerIsDeletedWithItsSchedule(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one)
	fixture.MustApply(Timer())
	if changes := fixture.Changes(); len(changes) > 0 {
		t.Errorf("without a timer, it changes %v", changes)
	}
	fixture.Facts("cp-1").Existing = []facts.Path{facts.BackupTimer}
	fake := fixture.Host("cp-1")
	fake.InOrder()
	fake.ExpectRun("systemctl", "disable", "--quiet", "--now", timer)
	fake.ExpectRun("rm", "-f", timerFile, unitFile, program, fixedFile)
	fake.ExpectRun("systemctl", "daemon-reload")
	fixture.MustApply(Timer())
}

func TestControlPlanesWithoutEtcdHaveNoTimer(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one+"  - {name: e-1, address: 192.0.2.31, roles: [etcd]}\nbackup: {schedule: daily}\n")
	fixture.Host("e-1").ExpectRunScript("backup-timer.sh", timer, "daily")
	fixture.MustApply(Timer())
	if _, ok := fixture.Host("cp-1").File(timerFile); ok {
		t.Error("the control plane has a timer")
	}
}
