// Package vagrant holds the Vagrantfile of the Vagrant lab, for the program to
// write where Vagrant is to run.
package vagrant

import _ "embed"

// Vagrantfile reads lab.yaml beside it.
//
//go:embed Vagrantfile
var Vagrantfile []byte
