// Package backup writes and reads backups of clusters: archives with a manifest, a checksum
// over every byte, and content that may be encrypted.
//
// A backup is a tar archive of two files, manifest.json and content.tar.gz, or
// content.tar.gz.age if it is encrypted, and a line with the SHA-256 checksum of all bytes
// before it. tar ignores that line.
package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/snapshot"
)

// The format of the archive, and the names of the files in it.
const (
	Format       = 1
	manifestName = "manifest.json"
	contentName  = "content.tar.gz"
	// Suffix is that of the name of a backup, "lab-20260731T100000Z.slipway.tar".
	Suffix = ".slipway.tar"
	// SnapshotName is the snapshot of etcd in the content, RecordName slipway's record.
	SnapshotName = "etcd/snapshot.db"
	RecordName   = "record.yaml"
	// hostPrefix begins the names of files of a host: "host/etc/kubernetes/pki/ca.crt".
	hostPrefix = "host"
)

// The encryption of the content.
const (
	NoEncryption = "none"
	Age          = "age"
)

// Manifest says what a backup contains. It has no secrets, and is never encrypted.
type Manifest struct {
	Format     int       `json:"format"`
	Cluster    string    `json:"cluster"`
	Created    time.Time `json:"created"`
	Kubernetes string    `json:"kubernetes"`
	// Host is the one whose member of etcd was saved.
	Host string `json:"host"`
	// Etcd is the snapshot.
	Etcd snapshot.Snapshot `json:"etcd"`
	// CAHash identifies the cluster: the hash of the public key of its CA.
	CAHash string `json:"caHash,omitempty"`
	// PKI: the keys that cannot be created again are in the content.
	PKI bool `json:"pki"`
	// Encryption is "none" or "age".
	Encryption string `json:"encryption"`
	// Fixed are the fields of the inventory that the cluster cannot change; nil if the API
	// server did not answer.
	Fixed *cluster.Fixed `json:"fixed,omitempty"`
	// Files are those in the content.
	Files []File `json:"files"`
}

// File is a file in the content of a backup.
type File struct {
	Name   string      `json:"name"`
	Size   int64       `json:"size"`
	SHA256 string      `json:"sha256"`
	Mode   fs.FileMode `json:"mode"`
}

// HostPath is the path of the file on a control plane; empty for one that no host has.
func (f File) HostPath() string {
	if at, ok := strings.CutPrefix(f.Name, hostPrefix+"/"); ok {
		return "/" + at
	}
	return ""
}

// HostName is the name in the content of a file of a host.
func HostName(file string) string { return hostPrefix + path.Clean(file) }

// Has reports whether the content has a file.
func (m Manifest) Has(name string) bool {
	return slices.ContainsFunc(m.Files, func(f File) bool { return f.Name == name })
}

// FileName is the name under which a backup is kept: the cluster and the time.
func (m Manifest) FileName() string {
	return m.Cluster + "-" + m.Created.UTC().Format("20060102T150405Z") + Suffix
}

// parseManifest reads a manifest. One of another format is refused, with the reason.
func parseManifest(text []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("%s: %w", manifestName, err)
	}
	if m.Format != Format {
		return m, fmt.Errorf("%s: format %d is unknown; this slipway knows %d", manifestName, m.Format, Format)
	}
	if m.Encryption != NoEncryption && m.Encryption != Age {
		return m, fmt.Errorf("%s: unknown encryption %q", manifestName, m.Encryption)
	}
	for _, f := range m.Files {
		if f.Name != path.Clean(f.Name) || path.IsAbs(f.Name) || strings.HasPrefix(f.Name, "..") {
			return m, fmt.Errorf("%s: invalid name %q", manifestName, f.Name)
		}
	}
	if !m.Has(SnapshotName) {
		return m, errors.New(manifestName + ": the backup has no snapshot of etcd")
	}
	return m, nil
}
