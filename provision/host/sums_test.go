package host_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
)

func hexSum(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func TestSumsHashesManyFilesInOneQuery(t *testing.T) {
	t.Parallel()
	h := hosttest.NewFake(t, "n1")
	h.Put("/a", "A")
	h.Put("/b", "B")
	got, err := host.Sums(t.Context(), h, []string{"/a", "/missing", "/b"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"/a": hexSum("A"), "/b": hexSum("B")}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff("query sha256sum -- /a /missing /b\n", h.Transcript()); diff != "" {
		t.Error(diff)
	}
}

func TestSumsOfNothingAsksNothing(t *testing.T) {
	t.Parallel()
	got, err := host.Sums(t.Context(), hosttest.NewFake(t, "n1"), nil)
	if err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestSumsUnderstandsTheRealProgram(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := map[string]string{}
	var paths []string
	for _, name := range []string{"plain", "with space", "new\nline", `back\slash`, "it's"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		want[path] = hexSum(name)
		paths = append(paths, path)
	}
	paths = append(paths, filepath.Join(dir, "missing"), dir, filepath.Join(dir, "plain", "below a file"))
	got, err := host.Sums(t.Context(), localHost{}, paths)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSumsSplitsWhatOneCommandLineCannotHold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var paths []string
	for range 900 {
		paths = append(paths, filepath.Join(dir, strings.Repeat("x", 250)))
	}
	if err := os.WriteFile(paths[0], []byte("A"), 0o600); err != nil {
		t.Fatal(err)
	}
	counted := &countingHost{}
	got, err := host.Sums(t.Context(), counted, paths)
	if err != nil {
		t.Fatal(err)
	}
	if got[paths[0]] != hexSum("A") || counted.queries < 3 || counted.longest > 128<<10 {
		t.Errorf("%d queries, the longest of %d bytes, result %v", counted.queries, counted.longest, got)
	}
}

func TestSumsReportsWhatIsNotJustMissing(t *testing.T) {
	t.Parallel()
	for name, stderr := range map[string]string{
		"a read error": "sha256sum: /a: Input/output error\n",
		"no message":   "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hosttest.NewFake(t, "n1")
			h.ExpectQuery("sha256sum", "--", "/a").Fails(1, stderr)
			var exit *host.ExitError
			if _, err := host.Sums(t.Context(), h, []string{"/a"}); !errors.As(err, &exit) {
				t.Errorf("want an ExitError, got %v", err)
			}
		})
	}
}

type countingHost struct {
	localHost
	queries, longest int
}

func (c *countingHost) Query(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	c.queries++
	c.longest = max(c.longest, len(host.Quote(cmd.Argv)))
	return c.localHost.Query(ctx, cmd)
}
