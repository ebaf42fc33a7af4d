// Package bundle reads, verifies and makes bundles: folders with every binary, container image and manifest that a
// cluster is installed from, each with its sha256.
//
// A bundle looks like this:
//
//	bundle.yaml              what is inside (see Manifest)
//	bin/linux-amd64/kubelet  binaries, one folder for an operating system and architecture
//	bin/linux-amd64/cni/…    CNI plugins
//	images/                  one OCI image layout that holds all images and shares their blobs
//	manifests/               manifests of large addons, as they were published
//
// A bundle is opened with Open, made from released files with Create, and made from any other source with a Writer.
package bundle
