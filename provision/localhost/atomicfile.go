package localhost

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile replaces a file: a crash leaves the old one or the new one. The mode
// does not depend on the umask.
func WriteFile(path string, content []byte, mode fs.FileMode) error {
	return WriteStream(path, mode, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// WriteStream is WriteFile for content that does not fit into memory. If write
// fails, the old file stays.
func WriteStream(path string, mode fs.FileMode, write func(io.Writer) error) error {
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // no longer there after the rename
	err = write(temp)
	if err == nil {
		err = errors.Join(temp.Chmod(mode), temp.Sync())
	}
	if err := errors.Join(err, temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}
