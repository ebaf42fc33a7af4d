package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
)

// A target is a system and an architecture that slipway is released for.
type target struct{ os, arch string }

var targets = []target{
	{"darwin", "amd64"},
	{"darwin", "arm64"},
	{"linux", "amd64"},
	{"linux", "arm64"},
	{"windows", "amd64"},
	{"windows", "arm64"},
}

// selectTargets parses a list of targets that are separated by commas; an empty list
// means all.
func selectTargets(list string) ([]target, error) {
	if list == "" {
		return targets, nil
	}
	var selected []target
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(targets, func(t target) bool { return t.String() == name })
		if i < 0 {
			return nil, fmt.Errorf("unknown target %q; known targets: %v", name, targets)
		}
		selected = append(selected, targets[i])
	}
	return selected, nil
}

// localhost is the target whose binary this computer can run.
var localhost = target{runtime.GOOS, runtime.GOARCH}

func (t target) String() string { return t.os + "/" + t.arch }

// binary is the name of the program.
func (t target) binary() string {
	if t.os == "windows" {
		return "slipway.exe"
	}
	return "slipway"
}

// programs are the packages whose code is in the binary of the target. All binaries
// embed the network probe, which runs on Linux.
func (t target) programs() []string {
	if t.os == "linux" {
		return []string{"./cmd/slipway", "./provision/probe/netprobe/agent"}
	}
	return []string{"./cmd/slipway"}
}

// env is the environment of a go command for the target. It overrides what would
// change the binary, such as GOFLAGS and the level of the instruction set.
func (t target) env() []string {
	return append(os.Environ(),
		"GOOS="+t.os, "GOARCH="+t.arch, "CGO_ENABLED=0",
		"GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "GOFIPS140=off", "GOAMD64=v1", "GOARM64=v8.0")
}
