//go:build linux

package main

import (
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"slipway.io/slipway/provision/probe/netprobe/wire"
)

// The test writes as etcd does: small blocks, each followed by fdatasync. It
// ends after maxWrites or maxDiskTime, whichever comes first.
const (
	blockSize   = 2300
	maxWrites   = 200
	maxDiskTime = time.Second
)

// timeDisk measures how long fdatasync takes in the file system of dir.
func timeDisk(dir string) *wire.Disk {
	file, err := unlinkedFile(dir)
	if err != nil {
		return &wire.Disk{Error: err.Error()}
	}
	defer file.Close()
	var times []time.Duration
	block := make([]byte, blockSize)
	for end := time.Now().Add(maxDiskTime); len(times) < maxWrites && time.Now().Before(end); {
		if _, err := file.Write(block); err != nil {
			return &wire.Disk{Error: err.Error()}
		}
		before := time.Now()
		if err := syscall.Fdatasync(int(file.Fd())); err != nil {
			return &wire.Disk{Error: err.Error()}
		}
		times = append(times, time.Since(before))
	}
	slices.Sort(times)
	return &wire.Disk{P99: times[(len(times)*99-1)/100], Writes: len(times)}
}

// unlinkedFile opens a file that the kernel deletes when the program ends. On a
// file system without O_TMPFILE, it creates a file and deletes its name.
func unlinkedFile(dir string) (*os.File, error) {
	file, err := os.OpenFile(dir, unix.O_TMPFILE|os.O_RDWR, 0o600)
	if err == nil {
		return file, nil
	}
	if file, err = os.CreateTemp(dir, ".slipway-probe-"); err != nil {
		return nil, err
	}
	return file, os.Remove(file.Name())
}
