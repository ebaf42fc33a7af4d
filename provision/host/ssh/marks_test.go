package ssh

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestOutputBeginsAfterTheMark(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		printed, before, output string
		started                 bool
	}{
		"nothing else":                   {"slipway-start:T\n", "", "", true},
		"output":                         {"slipway-start:T\nout\n", "", "out\n", true},
		"a banner":                       {"Welcome\nslipway-start:T\nout\n", "Welcome\n", "out\n", true},
		"a banner without an end":        {"Welcomeslipway-start:T\nout", "Welcome", "out", true},
		"a banner with a part of it":     {"slipway-slipway-start:T\nout", "slipway-", "out", true},
		"the mark of another command":    {"slipway-start:U\nout\n", "slipway-start:U\nout\n", "", false},
		"the command line":               {`env SLIPWAY_COMMAND=T sh -c 'm="slipway-start:$SLIPWAY_COMMAND"'` + "\n", `env SLIPWAY_COMMAND=T sh -c 'm="slipway-start:$SLIPWAY_COMMAND"'` + "\n", "", false},
		"output that contains the mark":  {"slipway-start:T\nslipway-start:T\n", "", "slipway-start:T\n", true},
		"nothing":                        {"", "", "", false},
		"binary output after the banner": {"\x00\xff\nslipway-start:T\n\x00\xff", "\x00\xff\n", "\x00\xff", true},
	} {
		for split, reader := range map[string]io.Reader{
			"": strings.NewReader(test.printed), ", byte by byte": iotest.OneByteReader(strings.NewReader(test.printed)),
		} {
			t.Run(name+split, func(t *testing.T) {
				t.Parallel()
				var out bytes.Buffer
				s := newStreams("T", &out, io.Discard)
				if _, err := io.Copy(s.stdout, reader); err != nil {
					t.Fatal(err)
				}
				if s.started() != test.started || string(s.stdout.before) != test.before || out.String() != test.output {
					t.Errorf("started %v, before %q, output %q", s.started(), s.stdout.before, out.String())
				}
			})
		}
	}
}

func TestTheReasonIsTheEndOfWhatWasPrinted(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ stdout, stderr, want string }{
		"standard error":             {"Welcome\n", "sudo: a password is required\n", "sudo: a password is required"},
		"only standard output":       {"This account is not available.\r\n", "", "This account is not available."},
		"nothing":                    {"", "\n", "no message"},
		"a banner and three lines":   {"", "Welcome\n\nSorry, try again.\nsudo: no password was provided\nsudo: 1 incorrect password attempt\n", "Sorry, try again.; sudo: no password was provided; sudo: 1 incorrect password attempt"},
		"more than what is kept":     {"", strings.Repeat("x\n", 1<<20) + "end\n", "x; x; end"},
		"more, in one write":         {strings.Repeat("x", 1<<20) + "\nend", "", ""},
		"an output that is one line": {"", "no", "no"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStreams("T", io.Discard, io.Discard)
			_, _ = io.WriteString(s.stdout, test.stdout)
			_, _ = io.Copy(s.stderr, strings.NewReader(test.stderr))
			got := s.reason()
			if test.want == "" {
				if !strings.HasSuffix(got, "x; end") {
					t.Errorf("got %d characters", len(got))
				}
			} else if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestSFTPPacketsBeginAfterText(t *testing.T) {
	t.Parallel()
	packet := "\x00\x00\x00\x05\x02\x00\x00\x00\x03"
	for _, text := range []string{"", "Welcome\n", "slipway-start:T\n", "Grüße\r\n\x1b[0m"} {
		got, err := io.ReadAll(&afterBanner{Reader: bufio.NewReader(strings.NewReader(text + packet))})
		if err != nil || string(got) != packet {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	if got, err := io.ReadAll(&afterBanner{Reader: bufio.NewReader(strings.NewReader("Welcome\n"))}); err != nil || len(got) > 0 {
		t.Errorf("without a packet: %q, %v", got, err)
	}
}
