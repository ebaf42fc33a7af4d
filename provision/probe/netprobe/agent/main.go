//go:build linux

// Command agent measures the network from one host. slipway uploads it before
// it installs anything. The agent listens on ports, connects to the agents of
// other hosts and prints the results. Package wire defines its input and output.
// It exits when its input ends.
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

// maxLifetime ends the agent if its input stays open, as after a lost
// connection.
const maxLifetime = 2 * time.Minute

func main() {
	time.AfterFunc(maxLifetime, func() { os.Exit(3) })
	removeSelf()
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

// removeSelf deletes the temporary directory of the running program, so that
// nothing is left behind even if the agent is killed.
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
	if err := answers.Encode(measure(task)); err != nil {
		return err
	}
	// Keep listening: other agents may still be connecting.
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
