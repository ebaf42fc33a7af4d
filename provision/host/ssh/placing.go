package ssh

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/pkg/sftp"
	"golang.org/x/sync/errgroup"
)

// tempPrefix begins the name of every file that is on its way to its place.
const tempPrefix = ".slipway-"

// placing puts a file in place: it is made beside its target under a name of
// its own, and renamed when it is complete.
type placing struct {
	client *sftp.Client
	target string

	temp string
	file *sftp.File
	// old are the names of earlier tries, which a broken connection left.
	old []string
	// renamed: a rename was sent, whatever became of it.
	renamed bool
}

// create makes the temporary file, and the directories above it if need be.
// The server runs with umask 077, so that nobody reads it before its mode is
// set.
func (p *placing) create() error {
	dir := path.Dir(p.target)
	p.temp = path.Join(dir, tempPrefix+strings.ToLower(rand.Text()[:12]))
	p.old = append(p.old, p.temp)
	const exclusive = os.O_RDWR | os.O_CREATE | os.O_EXCL
	file, err := p.client.OpenFile(p.temp, exclusive)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeParents(p.client, dir); err != nil {
			return err
		}
		file, err = p.client.OpenFile(p.temp, exclusive)
	}
	p.file = file
	return err
}

// own sets owner and mode, both in one round trip: neither undoes the other,
// since no bits but rwx are set.
func (p *placing) own(uid, gid int, mode fs.FileMode) error {
	var both errgroup.Group
	both.Go(func() error { return p.file.Chown(uid, gid) })
	both.Go(func() error { return p.file.Chmod(mode) })
	return both.Wait()
}

// sync brings the content to the disk, if the server can (OpenSSH can).
func (p *placing) sync() error {
	if _, ok := p.client.HasExtension("fsync@openssh.com"); !ok {
		return nil
	}
	return p.file.Sync()
}

func (p *placing) rename() error {
	p.renamed = true
	if err := p.client.PosixRename(p.temp, p.target); err != nil {
		if info, statErr := p.client.Lstat(p.target); statErr == nil && info.IsDir() {
			return errors.New("there is a directory in its place")
		}
		return err
	}
	p.old = nil
	return nil
}

func (p *placing) remove() {
	_ = p.file.Close()
	if p.client.Remove(p.temp) == nil {
		p.old = nil
	}
}

// sweep removes what earlier tries left.
func (p *placing) sweep() {
	for _, name := range p.old {
		_ = p.client.Remove(name)
	}
	p.old = nil
}

// explainSpace makes "no space left on device" of a bare failure: version 3 of
// SFTP has no code for it. need is the size of the file in bytes.
func explainSpace(client *sftp.Client, target string, need int64, err error) error {
	var status *sftp.StatusError
	if err == nil || !errors.As(err, &status) {
		return err
	}
	if full := checkSpace(client, path.Dir(target), need); full != nil {
		return full
	}
	return err
}

// checkSpace says whether a file of need bytes has no room below dir. It says
// nothing if the server cannot tell.
func checkSpace(client *sftp.Client, dir string, need int64) error {
	stat, err := client.StatVFS(dir)
	if err != nil || stat.Frsize == 0 {
		return nil
	}
	free := stat.Bfree * stat.Frsize
	// Some file systems have no fixed number of files: they say 0 of 0.
	noFiles := stat.Files > 0 && stat.Ffree == 0
	if !noFiles && free >= uint64(need) && free >= stat.Frsize {
		return nil
	}
	return fmt.Errorf("%w in %s: %d MiB free, %d MiB needed", syscall.ENOSPC, dir, free>>20, need>>20)
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
