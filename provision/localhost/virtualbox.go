package localhost

import (
	"context"
	"net/netip"
	"strings"
)

// vboxManage is VirtualBox's program. Its installer for Windows leaves PATH alone, and
// sets a variable.
func vboxManage(sys System) string {
	if sys.OS() == "windows" {
		if dir := sys.Env("VBOX_MSI_INSTALL_PATH"); dir != "" {
			return strings.TrimRight(dir, `\`) + `\VBoxManage.exe`
		}
	}
	return "VBoxManage"
}

// readVirtualBoxNetworks reads the host-only networks: interfaces with an address, and
// on macOS since VirtualBox 7 networks with a range.
func (f *Facts) readVirtualBoxNetworks(ctx context.Context, sys System) {
	if !f.Has("virtualbox") {
		return
	}
	lists := map[string]string{"hostonlyifs": "IPAddress"}
	if f.OS == "darwin" {
		lists["hostonlynets"] = "LowerIP"
	}
	for list, key := range lists {
		if out, err := sys.Run(ctx, vboxManage(sys), "list", list); err == nil {
			f.VirtualBoxNetworks = append(f.VirtualBoxNetworks, hostOnlyNetworks(out, key)...)
		}
	}
}

// hostOnlyNetworks parses blocks of "Key: value", of which one line has an address and
// another one the mask.
func hostOnlyNetworks(text, key string) []netip.Prefix {
	var all []netip.Prefix
	var address, mask netip.Addr
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		parsed, err := netip.ParseAddr(strings.TrimSpace(value))
		switch {
		case name == "Name":
			address, mask = netip.Addr{}, netip.Addr{}
		case err != nil || !parsed.Is4():
		case name == key:
			address = parsed
		case name == "NetworkMask":
			mask = parsed
		}
		if address.IsValid() && mask.IsValid() {
			all = append(all, netip.PrefixFrom(address, maskBits(mask)).Masked())
			address, mask = netip.Addr{}, netip.Addr{}
		}
	}
	return all
}

// maskBits counts the leading ones of a network mask.
func maskBits(mask netip.Addr) int {
	bits := 0
	for _, b := range mask.AsSlice() {
		for ; b&0x80 != 0; b <<= 1 {
			bits++
		}
	}
	return bits
}
