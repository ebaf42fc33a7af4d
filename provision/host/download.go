package host

import (
	"context"
	"fmt"
	"io"
	"strconv"
)

// downloadPart is the size of the parts of Download, in bytes: less than MaxStdout.
const downloadPart = 8 << 20

// Download copies a large file of a host to w, in parts, and reports after each one how
// many bytes have been copied. Nothing else may write the file meanwhile.
func Download(ctx context.Context, h Host, path string, size int64, w io.Writer, progress func(done int64)) error {
	for done := int64(0); done < size; {
		part := done / downloadPart
		res, err := h.Query(ctx, Cmd{
			Name: fmt.Sprintf("read %s, part %d", path, part+1),
			Argv: []string{"dd", "if=" + path, "bs=" + strconv.Itoa(downloadPart), "skip=" + strconv.FormatInt(part, 10), "count=1", "iflag=fullblock", "status=none"},
			Sudo: true,
		})
		if err != nil {
			return err
		}
		if want := min(downloadPart, size-done); int64(len(res.Stdout)) != want {
			return fmt.Errorf("%s: %s has changed or is truncated: part %d has %d bytes instead of %d", h, path, part+1, len(res.Stdout), want)
		}
		if _, err := w.Write(res.Stdout); err != nil {
			return err
		}
		done += int64(len(res.Stdout))
		progress(done)
	}
	return nil
}
