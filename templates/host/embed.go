// Package hostscripts contains the scripts that packages host and ssh run on hosts.
package hostscripts

import _ "embed"

// Start prints StartMark and the value of SLIPWAY_COMMAND on standard output and
// standard error, then runs its arguments. Run it with `sh -c`. It is one line,
// because login shells other than sh parse it too, and logs of sudo contain it.
const (
	Start     = `m="` + StartMark + `$SLIPWAY_COMMAND"; echo "$m"; echo "$m" >&2; exec "$@"`
	StartMark = "slipway-start:"
)

// SFTPServer runs the first SFTP server program among its arguments that exists.
// Run it with `sh -c`: standard input carries the SFTP protocol.
//
//go:embed sftp-server.sh
var SFTPServer string

// Stop ends all processes that have a variable in their environment. Argument:
// NAME=VALUE.
//
//go:embed stop.sh
var Stop []byte

// Receive verifies the files of a tar archive on standard input and moves them to a
// directory. Run it with `sh -c`. Arguments: directory, total size in bytes.
//
//go:embed receive.sh
var Receive string
