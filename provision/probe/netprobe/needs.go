package netprobe

import "slipway.io/slipway/provision/config"

// Needs returns what of the connections can be measured: TCP and UDP between hosts. The
// first port of a range stands for all.
func Needs(connections []config.Connection) []Need {
	var all []Need
	for _, c := range connections {
		if len(c.From) > 0 && c.First > 0 {
			all = append(all, Need{Protocol: Protocol(c.Protocol), Port: c.First, Use: c.Use, From: c.From, To: c.To})
		}
	}
	return all
}
