// Package remotescripts holds the fixed scripts that the transport itself runs
// on a machine.
package remotescripts

import _ "embed"

// Unit runs, or finds again, a command as a transient systemd unit: see
// remote.RunUnit. Arguments: state folder, name, age, limit, command...
//
//go:embed unit.sh
var Unit []byte

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
// they are verified. It is given to `sh -c`. Arguments: folder, size in bytes.
//
//go:embed receive.sh
var Receive string
