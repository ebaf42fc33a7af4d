package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"filippo.io/age"

	"slipway.io/slipway/provision/contextio"
	"slipway.io/slipway/provision/localhost"
)

// Source is a file to put into a backup: its content, or the path of a local file.
type Source struct {
	File
	Content []byte
	Path    string
}

// trailerFormat is the last line of a backup. It has a fixed length.
const trailerFormat = "\nslipway-backup sha256:%s\n"

var trailerSize = int64(len(fmt.Sprintf(trailerFormat, hex.EncodeToString(make([]byte, sha256.Size)))))

// Write writes a backup to a directory, which is created with mode 0700, and returns its
// path and its manifest, with the sums of the files. Without recipients, the content is not
// encrypted. The file has mode 0600, and gets its name when it is whole.
func Write(ctx context.Context, dir string, m Manifest, recipients []age.Recipient, sources ...Source) (string, Manifest, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", m, err
	}
	m.Format, m.Encryption, m.Files = Format, NoEncryption, nil
	if len(recipients) > 0 {
		m.Encryption = Age
	}
	for _, s := range sources {
		file, err := s.measure(ctx)
		if err != nil {
			return "", m, err
		}
		m.Files = append(m.Files, file)
	}
	content, err := os.CreateTemp(dir, ".content-*")
	if err != nil {
		return "", m, err
	}
	defer os.Remove(content.Name())
	defer content.Close()
	if err := writeContent(ctx, content, recipients, m.Files, sources); err != nil {
		return "", m, err
	}
	target := filepath.Join(dir, m.FileName())
	if _, err := os.Stat(target); err == nil {
		return "", m, fmt.Errorf("%s exists already", target)
	}
	err = localhost.WriteStream(target, 0o600, func(w io.Writer) error { return writeArchive(ctx, w, m, content) })
	return target, m, err
}

// measure returns the file with its size and checksum.
func (s Source) measure(ctx context.Context) (File, error) {
	file := s.File
	read, err := s.open()
	if err != nil {
		return file, err
	}
	defer read.Close()
	sum := sha256.New()
	if file.Size, err = io.Copy(sum, contextio.NewReader(ctx, read)); err != nil {
		return file, err
	}
	file.SHA256 = hex.EncodeToString(sum.Sum(nil))
	if s.SHA256 != "" && s.SHA256 != file.SHA256 {
		return file, fmt.Errorf("%s has the checksum %s, not %s", s.Name, file.SHA256, s.SHA256)
	}
	return file, nil
}

func (s Source) open() (io.ReadCloser, error) {
	if s.Path != "" {
		return os.Open(s.Path)
	}
	return io.NopCloser(bytes.NewReader(s.Content)), nil
}

// writeContent writes the files as a tar archive that is compressed, and encrypted if there
// are recipients.
func writeContent(ctx context.Context, w io.Writer, recipients []age.Recipient, files []File, sources []Source) (err error) {
	closers := []io.Closer{}
	if len(recipients) > 0 {
		encrypted, err := age.Encrypt(w, recipients...)
		if err != nil {
			return err
		}
		w, closers = encrypted, append(closers, encrypted)
	}
	compressed := gzip.NewWriter(w)
	archive := tar.NewWriter(compressed)
	closers = append(closers, compressed, archive)
	for i, s := range sources {
		if err := add(ctx, archive, files[i], s); err != nil {
			return err
		}
	}
	for i := len(closers) - 1; i >= 0; i-- {
		err = errors.Join(err, closers[i].Close())
	}
	return err
}

func add(ctx context.Context, archive *tar.Writer, file File, s Source) error {
	read, err := s.open()
	if err != nil {
		return err
	}
	defer read.Close()
	if err := archive.WriteHeader(header(file.Name, file.Size)); err != nil {
		return err
	}
	if _, err := io.Copy(archive, contextio.NewReader(ctx, read)); err != nil {
		return fmt.Errorf("%s: %w", file.Name, err)
	}
	return nil
}

// header is that of a private file. The manifest has the mode on the host.
func header(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, Format: tar.FormatPAX}
}

// writeArchive writes the archive around the content, and its checksum.
func writeArchive(ctx context.Context, w io.Writer, m Manifest, content *os.File) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	size, err := content.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := content.Seek(0, io.SeekStart); err != nil {
		return err
	}
	sum := sha256.New()
	archive := tar.NewWriter(io.MultiWriter(w, sum))
	if err := archive.WriteHeader(header(manifestName, int64(len(text)))); err != nil {
		return err
	}
	if _, err := archive.Write(text); err != nil {
		return err
	}
	if err := archive.WriteHeader(header(contentFile(m), size)); err != nil {
		return err
	}
	if _, err := io.Copy(archive, contextio.NewReader(ctx, content)); err != nil {
		return err
	}
	if err := archive.Close(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, trailerFormat, hex.EncodeToString(sum.Sum(nil)))
	return err
}

// contentFile is the name of the content in the archive.
func contentFile(m Manifest) string {
	if m.Encryption == Age {
		return contentName + ".age"
	}
	return contentName
}
