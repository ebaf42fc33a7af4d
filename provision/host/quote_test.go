package host_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host"
)

// throughShell returns the words that a shell parses from the quoted argv.
func throughShell(t *testing.T, argv []string) []string {
	t.Helper()
	line := host.Quote(append([]string{"printf", `%s\0`}, argv...))
	out, err := exec.CommandContext(t.Context(), "sh", "-c", line).Output()
	if err != nil {
		t.Fatalf("sh -c %q: %v", line, err)
	}
	var words []string
	for word := range bytes.SplitSeq(bytes.TrimSuffix(out, []byte{0}), []byte{0}) {
		words = append(words, string(word))
	}
	return words
}

func TestAShellParsesQuotedWords(t *testing.T) {
	t.Parallel()
	for name, argv := range map[string][]string{
		"plain words":                {"kubeadm", "init"},
		"an empty word":              {"a", "", "b"},
		"spaces and tabs":            {"a b", "\t", "  "},
		"newlines":                   {"a\nb", "\n"},
		"quotes of both kinds":       {`'`, `"`, `it's`, `'"'"'`, `''`},
		"a backslash":                {`\`, `\\`, `\'`, `\n`},
		"variables and substitution": {"$HOME", "${X}", "$(id)", "`id`", "$((1+1))"},
		"globs":                      {"*", "?", "[a-z]", "{a,b}", "~", "~root"},
		"operators":                  {";", "&", "|", "<", ">", "(", ")", "&&", "||", "#", "!"},
		"assignments and options":    {"A=b", "--flag=value", "-x", "--"},
		"bytes that are not UTF-8":   {"\xff\xfe", "\x01\x7f"},
		"letters that are not ASCII": {"größe", "集群", "🚢"},
		"reserved words":             {"if", "then", "done", "{", "}", "time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(argv, throughShell(t, argv)); diff != "" {
				t.Errorf("the shell parsed other words (-quoted +parsed):\n%s", diff)
			}
		})
	}
}

func TestAShellParsesQuotedRandomBytes(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var argv []string
	for range 400 {
		word := make([]byte, random.IntN(24))
		for i := range word {
			word[i] = byte(1 + random.IntN(255)) // anything but NUL
		}
		argv = append(argv, string(word))
	}
	if diff := cmp.Diff(argv, throughShell(t, argv)); diff != "" {
		t.Errorf("the shell parsed other words (-quoted +parsed):\n%s", diff)
	}
}

func TestAShellRunsTheQuotedFirstWordAsACommand(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"if", "A=b", "while", "for", "!", "{"} {
		// Unquoted, none of these would be looked up as a program.
		err := exec.CommandContext(t.Context(), "sh", "-c", host.Quote([]string{word})).Run()
		var exit *exec.ExitError
		if !asExit(err, &exit) || exit.ExitCode() != 127 {
			t.Errorf("%s: want exit code 127 (not found), got %v", word, err)
		}
	}
}

func TestQuoteQuotesOnlyWordsThatNeedIt(t *testing.T) {
	t.Parallel()
	for want, argv := range map[string][]string{
		"kubeadm init --config=/etc/k.yaml":     {"kubeadm", "init", "--config=/etc/k.yaml"},
		"echo 'a b' ''":                         {"echo", "a b", ""},
		`env LC_ALL=C 'it'\''s'`:                {"env", "LC_ALL=C", "it's"},
		"'A=b' c":                               {"A=b", "c"},
		"ctr -n k8s.io images import /a/b+c,d:": {"ctr", "-n", "k8s.io", "images", "import", "/a/b+c,d:"},
	} {
		if got := host.Quote(argv); got != want {
			t.Errorf("Quote(%q) = %s, want %s", argv, got, want)
		}
	}
}

func FuzzQuote(f *testing.F) {
	f.Add("a", "b c")
	f.Add("'", `\`)
	f.Fuzz(func(t *testing.T, a, b string) {
		argv := []string{a, b}
		if (host.Cmd{Argv: append([]string{"x"}, argv...)}).Check() != nil {
			t.Skip("contains a NUL byte")
		}
		if diff := cmp.Diff(fmt.Sprintf("%q", argv), fmt.Sprintf("%q", throughShell(t, argv))); diff != "" {
			t.Error(diff)
		}
	})
}
