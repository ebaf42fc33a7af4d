package host

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/crypto/blake2b"
	"golang.org/x/sync/errgroup"

	hostscripts "slipway.io/slipway/templates/host"
)

// receivedCorrupt is the exit code of receive.sh for a file that differs from
// its checksum (EX_DATAERR of sysexits.h).
const receivedCorrupt = 65

// Sender sends files to hosts. The files of a directory travel in one tar stream,
// which costs far less CPU than SFTP. A local file is hashed once, regardless of
// the number of hosts. The hosts need tar.
type Sender struct {
	mu   sync.Mutex
	sums map[string]func() (sums, error)
}

// sums are the checksums of a local file, in lower-case hex.
type sums struct{ sha256, blake2b string }

// Send sends files to a host, in one Run for each directory. It does not compare
// them with existing files. The files of a directory are verified and then all
// moved to their paths. If a file differs from Blob.SHA256, on localhost or on
// the host, the error wraps ErrCorrupt.
func (s *Sender) Send(ctx context.Context, h Host, blobs []Blob) error {
	var dirs []string
	byDir := map[string][]Blob{}
	for _, blob := range blobs {
		dir := path.Dir(blob.Path)
		if byDir[dir] == nil {
			dirs = append(dirs, dir)
		}
		byDir[dir] = append(byDir[dir], blob)
	}
	for _, dir := range dirs {
		err := s.send(ctx, h, dir, byDir[dir])
		if errors.Is(err, ErrOutcomeUnknown) || errors.Is(err, ErrUnreachable) {
			// The connection was lost. Sending twice is harmless.
			err = s.send(ctx, h, dir, byDir[dir])
		}
		if err != nil {
			return fmt.Errorf("%s: upload to %s: %w", h, dir, err)
		}
	}
	return nil
}

func (s *Sender) send(ctx context.Context, h Host, dir string, blobs []Blob) error {
	var size int64
	for _, blob := range blobs {
		size += blob.Size
	}
	argv := []string{"sh", "-c", hostscripts.Receive, "receive.sh", dir, strconv.FormatInt(size, 10)}
	read, write := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := s.archive(ctx, write, blobs)
		write.CloseWithError(err)
		done <- err
	}()
	_, err := h.Run(ctx, Cmd{Name: "receive.sh", Argv: argv, Stdin: read, Sudo: true})
	// Unblock the writer if the command did not read everything.
	read.CloseWithError(io.ErrClosedPipe)
	sent := <-done
	var exit *ExitError
	switch {
	case errors.As(err, &exit) && exit.Code == receivedCorrupt:
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	case err != nil && sent != nil && !errors.Is(sent, io.ErrClosedPipe):
		return errors.Join(sent, err)
	case err != nil:
		return err
	default:
		return sent
	}
}

// sumsOf hashes a local file, or returns its checksums of an earlier call.
func (s *Sender) sumsOf(blob Blob) (sums, error) {
	s.mu.Lock()
	if s.sums == nil {
		s.sums = map[string]func() (sums, error){}
	}
	once := s.sums[blob.Source]
	if once == nil {
		once = sync.OnceValues(func() (sums, error) { return hashFile(blob.Source) })
		s.sums[blob.Source] = once
	}
	s.mu.Unlock()
	have, err := once()
	if err == nil && have.sha256 != blob.SHA256 {
		err = fmt.Errorf("%s: %w: want sha256 %s, have %s", blob.Source, ErrCorrupt, blob.SHA256, have.sha256)
	}
	return have, err
}

func hashFile(name string) (sums, error) {
	file, err := os.Open(name)
	if err != nil {
		return sums{}, err
	}
	defer file.Close()
	sha := sha256.New()
	blake, err := blake2b.New512(nil)
	if err != nil {
		return sums{}, err
	}
	if _, err := io.Copy(io.MultiWriter(sha, blake), file); err != nil {
		return sums{}, fmt.Errorf("%s: %w", name, err)
	}
	return sums{hex.EncodeToString(sha.Sum(nil)), hex.EncodeToString(blake.Sum(nil))}, nil
}

// archive writes the blobs as a tar archive, under their base names. The files
// with the checksums come last, because hashing runs while the blobs are sent.
func (s *Sender) archive(ctx context.Context, w io.Writer, blobs []Blob) error {
	var hashing errgroup.Group
	found := make([]sums, len(blobs))
	for i, blob := range blobs {
		hashing.Go(func() (err error) {
			found[i], err = s.sumsOf(blob)
			return err
		})
	}
	out := tar.NewWriter(w)
	for _, blob := range blobs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := archiveFile(out, blob); err != nil {
			return fmt.Errorf("%s: %w", blob.Source, err)
		}
	}
	// receive.sh refuses an archive without checksums.
	if err := hashing.Wait(); err != nil {
		return err
	}
	var blake, sha strings.Builder
	for i, blob := range blobs {
		fmt.Fprintf(&blake, "%s  %s\n", found[i].blake2b, path.Base(blob.Path))
		fmt.Fprintf(&sha, "%s  %s\n", found[i].sha256, path.Base(blob.Path))
	}
	if err := archiveText(out, ".b2sum", blake.String()); err != nil {
		return err
	}
	if err := archiveText(out, ".sha256sum", sha.String()); err != nil {
		return err
	}
	return out.Close()
}

func archiveText(out *tar.Writer, name, text string) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(text)), Mode: 0o600}
	if err := out.WriteHeader(header); err != nil {
		return err
	}
	_, err := io.WriteString(out, text)
	return err
}

func archiveFile(out *tar.Writer, blob Blob) error {
	file, err := os.Open(blob.Source)
	if err != nil {
		return err
	}
	defer file.Close()
	mode := blob.Mode.Perm()
	if mode == 0 {
		mode = 0o644
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: path.Base(blob.Path), Size: blob.Size, Mode: int64(mode)}
	if err := out.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(out, file)
	return err
}
