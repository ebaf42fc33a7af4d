// Package lab holds the files of a lab of machine containers: what is laid into
// the tree that all machines are copied from (below tree/, at its place in the
// machine), the scripts that make that tree and keep a machine running, and the
// template of the lab's inventory.
package lab

import (
	"embed"
	"io/fs"
)

//go:embed setup.sh supervise.sh inventory.yaml.tmpl tree
var files embed.FS

// Setup is the script that is run in a fresh tree, once, with chroot.
func Setup() []byte { return read("setup.sh") }

// Supervise is the script that keeps one machine running.
func Supervise() []byte { return read("supervise.sh") }

// Inventory is the text/template of the inventory.
func Inventory() []byte { return read("inventory.yaml.tmpl") }

// Tree holds the files that every machine has, by their path in it. Files whose
// name ends in .sh are executable.
func Tree() fs.FS {
	tree, err := fs.Sub(files, "tree")
	if err != nil {
		panic(err) // the name is a constant
	}
	return tree
}

func read(name string) []byte {
	content, err := files.ReadFile(name)
	if err != nil {
		panic(err) // embedded: the build would have failed
	}
	return content
}
