package container

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func TestIndexEntry(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, fields, file string }{
		{
			"an epoch is not part of the file name",
			"Package: keepalived\nVersion: 1:2.2.7-1+b2\nArchitecture: amd64\n", "keepalived_2.2.7-1+b2_amd64.deb",
		},
		{
			"a folded field is copied, and its lines are no fields",
			"Package: pci.ids\nVersion: 0.0~2023\nArchitecture: all\nDescription: names\n Version: none\n .\n", "pci.ids_0.0~2023_all.deb",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			entry, file := indexEntry(test.fields, []byte("abc"))
			want := test.fields + "Filename: ./" + test.file + "\nSize: 3\nSHA256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n\n"
			if file != test.file || entry != want {
				t.Errorf("file %s, want %s; entry:\n%s\nwant:\n%s", file, test.file, entry, want)
			}
		})
	}
}

func TestTheRepositoryIsReadOnly(t *testing.T) {
	t.Parallel()
	handler := readOnly(fstest.MapFS{"Packages": {Data: []byte("Package: a\n")}})
	for _, test := range []struct {
		method, path string
		want         int
	}{
		{http.MethodGet, "/Packages", http.StatusOK},
		{http.MethodHead, "/Packages", http.StatusOK},
		{http.MethodGet, "/../complete", http.StatusNotFound},
		{http.MethodGet, "/Packages.xz", http.StatusNotFound},
		{http.MethodPut, "/Packages", http.StatusMethodNotAllowed},
		{http.MethodDelete, "/Packages", http.StatusMethodNotAllowed},
	} {
		got := httptest.NewRecorder()
		handler.ServeHTTP(got, httptest.NewRequest(test.method, test.path, strings.NewReader("")))
		if got.Code != test.want {
			t.Errorf("%s %s: status %d, want %d", test.method, test.path, got.Code, test.want)
		}
	}
}

func TestMachinesTrustOnlyTheRepositoryOfTheirLab(t *testing.T) {
	t.Parallel()
	s := testSession(t)
	s.state.Subnet, s.state.Repository = prefix("10.88.77.0/24"), &repository{Port: 7781}
	if got, want := s.aptSource(), "\ndeb [trusted=yes] http://10.88.77.1:7781 ./\n"; !strings.HasSuffix(got, want) || strings.Count(got, "http") != 1 {
		t.Errorf("sources.list: %q", got)
	}
}
