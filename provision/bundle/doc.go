// Package bundle creates, verifies and reads bundles: directories with every binary, container image and manifest that a
// cluster is installed from, each with its sha256.
//
// The layout of a bundle:
//
//	bundle.yaml              the list of its contents (see Manifest)
//	bin/linux-amd64/kubelet  binaries, a directory for each operating system and architecture
//	bin/linux-amd64/cni/…    CNI plugins
//	images/                  one OCI image layout in which all images share their blobs
//	manifests/               manifests of addons, as their projects publish them
//
// Open opens a bundle, Create creates one from released files, and a Writer creates one from any other source.
package bundle
