// Package vagrant contains the Vagrantfile of labs.
package vagrant

import _ "embed"

// Vagrantfile reads lab.yaml beside it.
//
//go:embed Vagrantfile
var Vagrantfile []byte
