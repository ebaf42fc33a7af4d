// Package hostscripts contains the scripts that packages host and ssh run on hosts.
package hostscripts

import _ "embed"

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
