//go:build linux

// Command probe runs on a machine for some seconds, before anything is
// installed there: it listens, tries to reach other probes, and says what it
// saw. Its input and output are those of package wire; it ends with its input.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"slipway.io/slipway/provision/probe/netprobe/wire"
)

// lifetime is when a probe ends whose input does not.
const lifetime = 2 * time.Minute

func main() {
	time.AfterFunc(lifetime, func() { os.Exit(3) })
	removeSelf()
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

// removeSelf removes the folder made for the program, which goes on without
// it: so nothing is left even if it is killed.
func removeSelf() {
	path, err := os.Executable()
	if err != nil {
		return
	}
	if dir := filepath.Dir(path); strings.HasPrefix(filepath.Base(dir), "slipway-probe.") {
		_ = os.RemoveAll(dir)
	}
}

func run(in io.Reader, out io.Writer) error {
	lines, answers := bufio.NewReader(in), json.NewEncoder(out)
	var hello wire.Hello
	if err := receive(lines, &hello); err != nil {
		return err
	}
	listeners, ready := listen(hello)
	defer listeners.close()
	if err := answers.Encode(ready); err != nil {
		return err
	}
	var task wire.Task
	if err := receive(lines, &task); err != nil {
		return err
	}
	if err := answers.Encode(do(hello, task)); err != nil {
		return err
	}
	// The others may still be trying.
	_, err := io.Copy(io.Discard, lines)
	return err
}

func receive(lines *bufio.Reader, message any) error {
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, message)
}
