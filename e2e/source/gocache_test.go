package main

import (
	"os"
	"runtime"
	"testing"
)

func TestAnotherVersionHasAGoCacheThatIsDeleted(t *testing.T) {
	t.Setenv("GOCACHE", "/before")
	b := &builder{options: options{cache: t.TempDir()}, other: "v1.37.2", tc: toolchain{arch: runtime.GOARCH}, versions: map[string]string{"kubernetes": "v1.37.2"}}
	remove, err := b.ownGoCache()
	if err != nil {
		t.Fatal(err)
	}
	dir := os.Getenv("GOCACHE")
	if _, err := os.Stat(dir); err != nil || dir == "/before" {
		t.Errorf("GOCACHE is %s: %v", dir, err)
	}
	if err := remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) || os.Getenv("GOCACHE") != "/before" {
		t.Errorf("%s is left, GOCACHE is %s: %v", dir, os.Getenv("GOCACHE"), err)
	}
	b.other = ""
	if _, err := b.ownGoCache(); err != nil || os.Getenv("GOCACHE") != "/before" {
		t.Errorf("the usual version has GOCACHE %s: %v", os.Getenv("GOCACHE"), err)
	}
}
