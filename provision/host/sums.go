package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// maxSumsArgs bounds the paths of one command, in bytes: sshd gives a command
// to the shell as one argument, which Linux limits to 128 KiB (MAX_ARG_STRLEN).
const maxSumsArgs = 64 << 10

// Sums hashes files on the machine with the rights of root, many in one round
// trip, and gives their sha256 (lower-case hex) by path. A file that does not
// exist, or is a directory, is absent from the result. It is a Query, so that
// it also answers in a plan.
func Sums(ctx context.Context, h Host, paths []string) (map[string]string, error) {
	sums := make(map[string]string, len(paths))
	for _, batch := range batches(paths, maxSumsArgs) {
		result, err := h.Query(ctx, Cmd{Argv: append([]string{"sha256sum", "--"}, batch...), Sudo: true})
		out := string(result.Stdout)
		// sha256sum ends with 1 if one of the files is missing; it has still
		// hashed the others.
		if exit := (*ExitError)(nil); errors.As(err, &exit) && exit.Code == 1 && onlyMissing(exit.Stderr) {
			out, err = exit.Stdout, nil
		}
		if err != nil {
			return nil, fmt.Errorf("hash files: %w", err)
		}
		if err := parseSums(out, sums); err != nil {
			return nil, fmt.Errorf("%s: hash files: %w", h, err)
		}
	}
	return sums, nil
}

func batches(paths []string, limit int) [][]string {
	var all [][]string
	var batch []string
	size := 0
	for _, path := range paths {
		// Quoted, a path can be four times as long; most are not quoted at all.
		length := len(Quote([]string{path})) + 1
		if len(batch) > 0 && size+length > limit {
			all, batch, size = append(all, batch), nil, 0
		}
		batch, size = append(batch, path), size+length
	}
	if len(batch) > 0 {
		all = append(all, batch)
	}
	return all
}

// onlyMissing: every complaint is about a file that is not there (ENOENT), lies
// below something that is no directory (ENOTDIR), or is a directory (EISDIR).
func onlyMissing(stderr string) bool {
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasSuffix(line, "No such file or directory") &&
			!strings.HasSuffix(line, "Not a directory") && !strings.HasSuffix(line, "Is a directory") {
			return false
		}
	}
	return stderr != ""
}

// parseSums reads the output of GNU and busybox sha256sum: "HEX  PATH" or, for
// binary mode, "HEX *PATH". A leading backslash says that backslash and newline
// in the path are escaped.
func parseSums(out string, into map[string]string) error {
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		escaped := strings.HasPrefix(line, `\`)
		sum, path, found := strings.Cut(strings.TrimPrefix(line, `\`), " ")
		if !found || len(sum) != 64 || len(path) < 2 {
			return fmt.Errorf("sha256sum printed %q", line)
		}
		path = path[1:]
		if escaped {
			path = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r").Replace(path)
		}
		into[path] = sum
	}
	return nil
}
