package main

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseURIs(t *testing.T) {
	t.Parallel()
	got := parseURIs(`NOTE: something else
'http://deb.example.org/debian/pool/main/z/zlib/zlib1g_1.2.13.dfsg-1_amd64.deb' zlib1g_1%3a1.2.13.dfsg-1_amd64.deb 86684 SHA256:x
'http://deb.example.org/debian/pool/main/n/netbase/netbase_6.4_all.deb' netbase_6.4_all.deb 12800 SHA256:x
`)
	if diff := cmp.Diff([]string{"zlib1g=1:1.2.13.dfsg-1", "netbase=6.4"}, got); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
}

func TestReadDebMergesUsrAndLeavesDocumentationOut(t *testing.T) {
	t.Parallel()
	var deb bytes.Buffer
	tw := tar.NewWriter(&deb)
	for _, h := range []tar.Header{
		{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "./bin/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "./bin/kmod", Typeflag: tar.TypeReg, Mode: 0o755, Size: 4},
		{Name: "./sbin/modprobe", Typeflag: tar.TypeSymlink, Linkname: "/bin/kmod"},
		{Name: "./bin/hard", Typeflag: tar.TypeLink, Linkname: "./bin/kmod"},
		{Name: "./usr/share/doc/kmod/copyright", Typeflag: tar.TypeReg, Size: 4},
		{Name: "./usr/share/man/man8/kmod.8.gz", Typeflag: tar.TypeReg, Size: 4},
		{Name: "./etc/modprobe.d/", Typeflag: tar.TypeDir, Mode: 0o755},
	} {
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := tw.Write([]byte("kmod")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	got := tree{}
	if err := readDeb(&deb, got); err != nil {
		t.Fatal(err)
	}
	directory := entry{dir: true, mode: 0o755}
	file := entry{mode: 0o755, body: []byte("kmod")}
	want := tree{
		"usr": directory, "usr/bin": directory, "usr/sbin": directory, "etc": directory, "etc/modprobe.d": directory,
		"usr/bin/kmod": file, "usr/bin/hard": file, "usr/sbin/modprobe": {link: "/bin/kmod"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(entry{})); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

func TestLinkCommandsChoosesNftAndHidesNoRealProgram(t *testing.T) {
	t.Parallel()
	tr := tree{}
	tr.add("usr/sbin/ip", entry{body: []byte("iproute2")})
	tr.add("usr/bin/busybox", entry{body: []byte("busybox")})
	linkCommands(tr, []string{"sh", "cp", "ip", "busybox"})
	for name, want := range map[string]string{
		"usr/sbin/iptables": "iptables-nft", "usr/sbin/ip6tables-restore": "ip6tables-nft-restore",
		"usr/bin/sh": "busybox", "usr/bin/cp": "busybox", "usr/bin/busybox": "",
	} {
		if got := tr[name].link; got != want {
			t.Errorf("%s leads to %q, want %q", name, got, want)
		}
	}
	if _, hidden := tr["usr/bin/ip"]; hidden {
		t.Error("busybox's ip hides that of iproute2")
	}
}

func TestCheckLibrariesNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	tr := tree{}
	tr.add("usr/bin/script", entry{body: []byte("#!/bin/sh\n")})
	if err := checkLibraries(tr); err != nil {
		t.Errorf("a script needs no library: %v", err)
	}
	tr.add("usr/bin/broken", entry{body: []byte("\x7fELF and nothing more")})
	if err := checkLibraries(tr); err == nil || !strings.Contains(err.Error(), "usr/bin/broken") {
		t.Errorf("got %v", err)
	}
}
