package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// An entry is a file of an archive.
type entry struct {
	name    string // with slashes
	mode    fs.FileMode
	content []byte
}

// archiveOf writes the entries below a directory to a tar.gz archive, or to a zip
// archive for Windows. The archive depends only on its arguments: entries are sorted,
// have no owner, and share one time.
func archiveOf(t target, directory string, entries []entry, modified time.Time) ([]byte, error) {
	entries = slices.Clone(entries)
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	write := writeTarGz
	if t.os == "windows" {
		write = writeZip
	}
	var archive bytes.Buffer
	if err := write(&archive, directory, entries, modified.UTC()); err != nil {
		return nil, fmt.Errorf("pack %s: %w", directory, err)
	}
	return archive.Bytes(), nil
}

// extension is the end of the name of an archive.
func (t target) extension() string {
	if t.os == "windows" {
		return ".zip"
	}
	return ".tar.gz"
}

func writeTarGz(w io.Writer, directory string, entries []entry, modified time.Time) error {
	// The header of gzip has neither a name nor a time.
	packed, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	files := tar.NewWriter(packed)
	for _, e := range entries {
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: directory + "/" + e.name, Mode: int64(e.mode.Perm()), Size: int64(len(e.content)),
			ModTime: modified, Format: tar.FormatUSTAR,
		}
		if err := files.WriteHeader(header); err != nil {
			return err
		}
		if _, err := files.Write(e.content); err != nil {
			return err
		}
	}
	if err := files.Close(); err != nil {
		return err
	}
	return packed.Close()
}

func writeZip(w io.Writer, directory string, entries []entry, modified time.Time) error {
	files := zip.NewWriter(w)
	files.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(w, flate.BestCompression)
	})
	for _, e := range entries {
		header := &zip.FileHeader{Name: directory + "/" + e.name, Method: zip.Deflate, Modified: modified}
		header.SetMode(e.mode)
		file, err := files.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := file.Write(e.content); err != nil {
			return err
		}
	}
	return files.Close()
}
