package hosttest

import (
	"fmt"
	"slices"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/systemd"
	"slipway.io/slipway/templates"
)

// anyArgument is an argument of an expected command that fits every argument.
const anyArgument = "<any>"

// sameArgv reports whether argv is what is expected.
func sameArgv(want, argv []string) bool {
	return slices.EqualFunc(want, argv, func(want, word string) bool { return want == word || want == anyArgument })
}

// Expectation is a call that the test expects: once, unless Times or AnyTimes is
// set. Call its methods before the expected call.
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

// ExpectRunScript expects a Run of the host.Script of this name with exactly these
// arguments.
func (f *Fake) ExpectRunScript(name string, args ...string) *Expectation {
	return f.expect("run", host.Script(name, nil, args...))
}

// ExpectUnit expects a systemd.Run of the unit of this name with exactly this
// argv, without a timeout, with any input and paths to sync. Returns sets the unit's
// log.
func (f *Fake) ExpectUnit(name string, argv ...string) *Expectation {
	return f.ExpectUnitTimeout(name, 0, argv...)
}

// ExpectUnitTimeout is ExpectUnit with a timeout in seconds.
func (f *Fake) ExpectUnitTimeout(name string, seconds int, argv ...string) *Expectation {
	args := append([]string{systemd.UnitsDir, name, "0", fmt.Sprint(seconds), anyArgument, anyArgument}, argv...)
	return f.ExpectRunScript("unit "+name, args...)
}

// ExpectService expects a systemd.Service with these files to read its state.
// Returns sets it: nothing if the service runs with its current files, otherwise
// lines such as "stopped failed" and "changed /etc/x".
func (f *Fake) ExpectService(name string, files ...string) *Expectation {
	return f.ExpectQueryScript("service.sh", append([]string{"state", systemd.StartsDir, name}, files...)...)
}

// ExpectStart expects a systemd.Service with these files to start or restart. The
// reason is reported as the change.
func (f *Fake) ExpectStart(reason, name string, files ...string) *Expectation {
	argv := []string{"sh", "-c", string(templates.Script("systemd/service.sh")), "service.sh", "start", systemd.StartsDir, name}
	return f.expect("run", host.Cmd{Name: reason, Argv: append(argv, files...), Sudo: true})
}

// ExpectReload expects a systemd.Service with these files to be reloaded, like
// ExpectStart.
func (f *Fake) ExpectReload(reason, name string, files ...string) *Expectation {
	argv := []string{"sh", "-c", string(templates.Script("systemd/service.sh")), "service.sh", "reload", systemd.StartsDir, name}
	return f.expect("run", host.Cmd{Name: reason, Argv: append(argv, files...), Sudo: true})
}

// FailsUnit makes the command of a unit exit with this code. Returns sets the
// unit's log.
func (e *Expectation) FailsUnit(code int) *Expectation {
	name := ""
	if len(e.cmd.Argv) > 4 {
		name = e.cmd.Argv[4]
	}
	return e.Fails(code, fmt.Sprintf("slipway-%s ended with %d\n", name, code))
}

// ExpectRead expects a ReadFile of this path. Returns sets the content.
func (f *Fake) ExpectRead(path string) *Expectation { return f.expect("read", fileCmd("read", path)) }

// ExpectWrite expects a WriteFiles with this path.
func (f *Fake) ExpectWrite(path string) *Expectation {
	return f.expect("write", fileCmd("write", path))
}

// ExpectUpload expects an Upload with this path.
func (f *Fake) ExpectUpload(path string) *Expectation {
	return f.expect("upload", fileCmd("upload", path))
}

// fileCmd represents a file operation as a command.
func fileCmd(kind, path string) host.Cmd { return host.Cmd{Argv: []string{kind, path}} }

func (f *Fake) expect(kind string, cmd host.Cmd) *Expectation {
	e := &Expectation{kind: kind, cmd: cmd, times: 1}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expected = append(f.expected, e)
	return e
}

// Returns sets the standard output, or the content of the file for ExpectRead.
func (e *Expectation) Returns(stdout string) *Expectation { e.stdout = stdout; return e }

// Fails makes the call return a *host.ExitError with this exit code and standard
// error.
func (e *Expectation) Fails(code int, stderr string) *Expectation {
	e.code, e.stderr = code, stderr
	return e
}

// Error makes the call return err, such as the error of a lost connection.
func (e *Expectation) Error(err error) *Expectation { e.err = err; return e }

// Stdin expects exactly this standard input.
func (e *Expectation) Stdin(content string) *Expectation { e.stdin = []byte(content); return e }

// AsUser expects the command to run as the login user instead of root.
func (e *Expectation) AsUser() *Expectation { e.cmd.Sudo = false; return e }

// Times expects n calls.
func (e *Expectation) Times(n int) *Expectation { e.times = n; return e }

// AnyTimes accepts any number of calls, including none.
func (e *Expectation) AnyTimes() *Expectation { e.times = -1; return e }

// Then calls do before each answer, for what the command changes on the host
// (Put, Remove).
func (e *Expectation) Then(do func()) *Expectation { e.then = do; return e }

// String returns the line of the call in the transcript.
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
