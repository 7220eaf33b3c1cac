package state

import (
	"encoding/binary"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// GatewaysOnPort calls f for every Gateway that has a server of the family on the port, as it
// is written, until f returns false.
func (s *Snapshot) GatewaysOnPort(port uint32, family resource.Family, f func(*resource.Gateway) bool) {
	s.ports.Root().WalkPrefix(portKey(port, family), func(_ []byte, g *resource.Gateway) bool { return !f(g) })
}

func portKey(port uint32, family resource.Family) []byte {
	return append(binary.BigEndian.AppendUint32(nil, port), byte(family))
}

func portKeys(g *resource.Gateway) [][]byte {
	var out [][]byte
	for i := range g.Servers {
		s := &g.Servers[i]
		out = append(out, append(portKey(s.Port, s.Family()), identity(&g.Meta)...))
	}
	return out
}
