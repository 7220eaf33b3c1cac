package state

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// GatewaysOnPort calls f for every Gateway that has a server of the family on the port, as it
// is written, until f returns false.
func (s *Snapshot) GatewaysOnPort(port uint32, family resource.Family, f func(*resource.Gateway) bool) {
	s.ports.Root().WalkPrefix(portKey(port, family), func(_ []byte, g *resource.Gateway) bool { return !f(g) })
}

// GatewaysByBind calls f as GatewaysOnPort does, ordered by the bind and protocol of the
// servers as they are written. Once f returns true, the other Gateways with that bind and
// protocol are passed over: where only the ways to write it matter, thousands that are
// written alike cost one call.
func (s *Snapshot) GatewaysByBind(port uint32, family resource.Family, f func(*resource.Gateway) bool) {
	all := portKey(port, family)
	it := s.ports.Root().Iterator()
	it.SeekLowerBound(all)
	for key, g, ok := it.Next(); ok && bytes.HasPrefix(key, all); key, g, ok = it.Next() {
		if !f(g) {
			continue
		}
		rest := key[len(all):]
		written := len(all) + bytes.IndexByte(rest, sep[0]) + 1
		written += bytes.IndexByte(key[written:], sep[0])
		next := append(slices.Clone(key[:written]), sep[0]+1)
		it = s.ports.Root().Iterator()
		it.SeekLowerBound(next)
	}
}

func portKey(port uint32, family resource.Family) []byte {
	return append(binary.BigEndian.AppendUint32(nil, port), byte(family))
}

func portKeys(g *resource.Gateway) [][]byte {
	var out [][]byte
	for i := range g.Servers {
		s := &g.Servers[i]
		out = append(out, append(portKey(s.Port, s.Family()), s.Bind+sep+s.Protocol+sep+identity(&g.Meta)...))
	}
	return out
}
