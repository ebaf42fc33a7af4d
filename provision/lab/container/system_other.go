//go:build !linux

package container

import (
	"errors"
	"os/exec"
)

const capSysResource = 24

var errLinuxOnly = errors.New("machine containers need Linux: use --provider vagrant")

func requireRoot() error   { return errLinuxOnly }
func ownSession(*exec.Cmd) {}
func terminate(int) error  { return errLinuxOnly }
func kill(int) error       { return errLinuxOnly }
func unmount(string) error { return errLinuxOnly }
