// Package hostscripts holds the scripts that the transport itself runs on a host.
package hostscripts

import _ "embed"

// SFTPServer starts the first SFTP server program among its arguments. It is
// given to `sh -c`, since its standard input is the SFTP protocol.
//
//go:embed sftp-server.sh
var SFTPServer string

// Stop ends all processes that a command left behind. Argument: the mark in
// their environment, NAME=VALUE.
//
//go:embed stop.sh
var Stop []byte

// Receive puts the files of a tar archive on its standard input in place, once
// they are verified. It is given to `sh -c`. Argument: folder.
//
//go:embed receive.sh
var Receive string
