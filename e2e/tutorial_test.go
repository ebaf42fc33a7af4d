//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTutorial runs the commands of docs/tutorial.md on a lab of machine containers.
func TestTutorial(t *testing.T) {
	s := newScenario(t)
	ctx := t.Context()
	text, err := os.ReadFile("../docs/tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := tutorial(string(text))
	if len(blocks) < 20 {
		t.Fatalf("found %d blocks of commands in the tutorial, want at least 20", len(blocks))
	}
	learner := s.learner(ctx, t)
	for _, b := range blocks {
		ok := t.Run(b.title, func(t *testing.T) {
			commands := agnhostImage.ReplaceAllString(b.commands, s.agnhost(t))
			commands = strings.ReplaceAll(commands, "use-context lab", "use-context "+s.lab.Name)
			switch {
			case strings.Contains(commands, "addon enable headlamp"):
				// Its image cannot be pulled here; the test image replaces it.
				s.setAddons(t, "\naddons:\n  - name: local-path\n  - name: traefik\n  - name: metrics-server\n"+s.headlamp(t))
			case strings.TrimSpace(commands) == "slipway console":
				s.console(ctx, t) // until Ctrl-C
				return
			}
			out := learner.do(t, commands)
			for _, want := range b.prints {
				if !strings.Contains(out, want) {
					t.Errorf("the output lacks %q:\n%s\n%s", want, commands, out)
				}
			}
			if strings.Contains(commands, "machines-only") {
				s.lab = s.status(ctx, t)
			}
		})
		if !ok {
			s.collect(t, "tutorial")
			t.Fatal("stopped: the next commands require this one")
		}
	}
	if r := s.slipway.run(ctx, t, "lab", "status", "--name", s.lab.Name); r.code == 0 {
		t.Errorf("the lab still exists:\n%s", r)
	}
}

var agnhostImage = regexp.MustCompile(`registry\.k8s\.io/e2e-test-images/agnhost:[0-9.]+`)

// block is an indented block of commands.
type block struct {
	title, commands string
	// prints are expected parts of the output, from comments "# prints PART".
	prints []string
}

// tutorial returns the indented blocks of a text.
func tutorial(text string) []block {
	var blocks []block
	heading, inside := "", false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		command, indented := strings.CutPrefix(line, "    ")
		switch {
		case strings.HasPrefix(line, "#"):
			heading, inside = strings.TrimSpace(strings.TrimLeft(line, "#")), false
		case indented && !inside:
			blocks, inside = append(blocks, block{title: fmt.Sprintf("%s: %s", heading, command)}), true
			fallthrough
		case indented:
			b := &blocks[len(blocks)-1]
			b.commands += command + "\n"
			if part, found := strings.CutPrefix(command, "# prints "); found {
				b.prints = append(b.prints, part)
			}
		default:
			inside = false
		}
	}
	return blocks
}

// learner is the shell of a user.
type learner struct {
	in  io.Writer
	out *bufio.Scanner
	// script is a file for the next commands.
	script string
}

// learner opens a shell with slipway and kubectl in its PATH. Environment variables
// set the name and the provider of the lab.
func (s *scenario) learner(ctx context.Context, t *testing.T) *learner {
	t.Helper()
	programs := filepath.Join(s.scratch, "bin")
	if err := os.Mkdir(programs, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"slipway": s.slipway.path, "kubectl": filepath.Join(s.bundle, s.bundled(t, "kubectl"))} {
		if err := os.Symlink(path, filepath.Join(programs, name)); err != nil {
			t.Fatal(err)
		}
	}
	home := filepath.Join(s.scratch, "home")
	if err := os.Mkdir(home, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "bash", "-eu", "-o", "pipefail")
	cmd.Dir = home
	cmd.Env = append(s.slipway.env, "PATH="+programs+":"+os.Getenv("PATH"),
		"SLIPWAY_NAME="+s.lab.Name, "SLIPWAY_PROVIDER=container", "SLIPWAY_BUNDLE="+s.bundle)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = write, write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait() // a failed command has ended it
		read.Close()
	})
	out := bufio.NewScanner(read)
	out.Buffer(nil, 1<<20)
	return &learner{in: in, out: out, script: filepath.Join(s.scratch, "typed.sh")}
}

// do runs commands, and returns their output. A command that fails ends the shell.
func (l *learner) do(t *testing.T, commands string) string {
	t.Helper()
	const done = "--- done ---"
	// Commands such as ssh must not read the input of the shell.
	write(t, l.script, commands)
	if _, err := fmt.Fprintf(l.in, ". %q </dev/null\necho '%s'\n", l.script, done); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for l.out.Scan() {
		if l.out.Text() == done {
			return out.String()
		}
		out.WriteString(l.out.Text() + "\n")
	}
	t.Fatalf("a command failed:\n%s\n%s", commands, out.String())
	return ""
}
