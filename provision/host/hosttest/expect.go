package hosttest

import (
	"fmt"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/systemd"
)

// Expectation is a call that the test expects, once unless Times or AnyTimes says
// otherwise. Its methods set it up before the call.
type Expectation struct {
	kind   string
	cmd    host.Cmd
	stdin  []byte
	times  int // -1 is any number
	used   int
	stdout string
	stderr string
	code   int
	err    error
	then   func()
}

// ExpectQuery expects a Query of exactly this argv.
func (f *Fake) ExpectQuery(argv ...string) *Expectation {
	return f.expect("query", host.Cmd{Argv: argv, Sudo: true})
}

// ExpectRun expects a Run of exactly this argv.
func (f *Fake) ExpectRun(argv ...string) *Expectation {
	return f.expect("run", host.Cmd{Argv: argv, Sudo: true})
}

// ExpectQueryScript expects a Query of the host.Script of this name with
// exactly these arguments.
func (f *Fake) ExpectQueryScript(name string, args ...string) *Expectation {
	return f.expect("query", host.Script(name, nil, args...))
}

// ExpectRunScript expects a Run of such a script.
func (f *Fake) ExpectRunScript(name string, args ...string) *Expectation {
	return f.expect("run", host.Script(name, nil, args...))
}

// ExpectUnit expects a host.RunUnit of this name with exactly this argv,
// without a timeout. Its stdout is the unit's log.
func (f *Fake) ExpectUnit(name string, argv ...string) *Expectation {
	return f.ExpectUnitTimeout(name, 0, argv...)
}

// ExpectUnitTimeout expects one with a timeout of that many seconds.
func (f *Fake) ExpectUnitTimeout(name string, seconds int, argv ...string) *Expectation {
	args := append([]string{systemd.UnitsDir, name, "0", fmt.Sprint(seconds)}, argv...)
	return f.ExpectRunScript("unit "+name, args...)
}

// FailsUnit lets a unit's command end with code, which it announces as the
// host does. The unit's log is what Returns was given.
func (e *Expectation) FailsUnit(code int) *Expectation {
	name := ""
	if len(e.cmd.Argv) > 4 {
		name = e.cmd.Argv[4]
	}
	return e.Fails(code, fmt.Sprintf("slipway-%s ended with %d\n", name, code))
}

// ExpectRead lets ReadFile of this path give what the expectation says.
func (f *Fake) ExpectRead(path string) *Expectation { return f.expect("read", fileCmd("read", path)) }

// ExpectWrite expects a WriteFile to this path.
func (f *Fake) ExpectWrite(path string) *Expectation {
	return f.expect("write", fileCmd("write", path))
}

// ExpectUpload expects an Upload to this path.
func (f *Fake) ExpectUpload(path string) *Expectation {
	return f.expect("upload", fileCmd("upload", path))
}

// fileCmd stands for a file operation where commands are compared.
func fileCmd(kind, path string) host.Cmd { return host.Cmd{Argv: []string{kind, path}} }

func (f *Fake) expect(kind string, cmd host.Cmd) *Expectation {
	e := &Expectation{kind: kind, cmd: cmd, times: 1}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expected = append(f.expected, e)
	return e
}

// Returns lets it write this to its standard output (for ExpectRead: be the
// file's content).
func (e *Expectation) Returns(stdout string) *Expectation { e.stdout = stdout; return e }

// Fails lets it end with this exit code and standard error: an
// *host.ExitError.
func (e *Expectation) Fails(code int, stderr string) *Expectation {
	e.code, e.stderr = code, stderr
	return e
}

// Error lets it fail with err, as when a connection breaks.
func (e *Expectation) Error(err error) *Expectation { e.err = err; return e }

// Stdin makes it fit only if the standard input is this.
func (e *Expectation) Stdin(content string) *Expectation { e.stdin = []byte(content); return e }

// AsUser expects the user who logs in to run the command. Without it, root does.
func (e *Expectation) AsUser() *Expectation { e.cmd.Sudo = false; return e }

// Times makes it happen n times.
func (e *Expectation) Times(n int) *Expectation { e.times = n; return e }

// AnyTimes lets it happen as often as it does, or never.
func (e *Expectation) AnyTimes() *Expectation { e.times = -1; return e }

// Then is called whenever it happens, before it answers: what the command
// changes on the host (Put, Remove).
func (e *Expectation) Then(do func()) *Expectation { e.then = do; return e }

// String is the line that it would be in the transcript.
func (e *Expectation) String() string {
	return describe(e.kind, e.cmd)
}

func (e *Expectation) answer(name string, cmd host.Cmd) (host.Result, error) {
	switch {
	case e.err != nil:
		return host.Result{}, e.err
	case e.code != 0:
		return host.Result{}, &host.ExitError{
			Host: name, Command: cmd.String(), Code: e.code,
			Stdout: host.Redact(e.stdout, cmd.Secret), Stderr: host.Redact(e.stderr, cmd.Secret),
		}
	}
	return host.Result{Stdout: []byte(e.stdout), Stderr: []byte(e.stderr)}, nil
}
