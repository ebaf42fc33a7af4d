// Package lab contains the files of labs: those to copy into the base tree of all
// machine containers (tree/, by their paths on a machine), the scripts that set up
// the tree and run a machine, and the template of the inventory.
package lab

import (
	"embed"
	"io/fs"
)

//go:embed setup.sh supervise.sh inventory.yaml.tmpl tree
var files embed.FS

// Setup is the script that runs once in a new tree, with chroot.
func Setup() []byte { return read("setup.sh") }

// Supervise is the script that runs a machine.
func Supervise() []byte { return read("supervise.sh") }

// Inventory is the text/template of the inventory.
func Inventory() []byte { return read("inventory.yaml.tmpl") }

// Tree contains the files of every machine, by their paths on it. Files with names
// that end in .sh are executable.
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
		panic(err) // the names are constants
	}
	return content
}
