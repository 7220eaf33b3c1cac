package state

import (
	"bytes"
	"encoding/binary"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// GatewaysOnPort calls f for every Gateway that has a server of the family on the port, as it
// is written, until f returns false.
func (s *Snapshot) GatewaysOnPort(port uint32, family resource.Family, f func(*resource.Gateway) bool) {
	s.ports.Walk(portKey(port, family), f)
}

// GatewaysByBind calls f as GatewaysOnPort does, ordered by the bind and protocol of the
// servers as they are written. Once f returns true, the other Gateways with that bind and
// protocol are passed over: where only the ways to write it matter, thousands that are
// written alike cost one call.
func (s *Snapshot) GatewaysByBind(port uint32, family resource.Family, f func(*resource.Gateway) bool) {
	all := portKey(port, family)
	s.ports.WalkGroups(all, func(key []byte, g *resource.Gateway) (done int) {
		if !f(g) {
			return 0
		}
		written := len(all) + bytes.IndexByte(key[len(all):], sep[0]) + 1
		return written + bytes.IndexByte(key[written:], sep[0]) + 1
	})
}

func portKey(port uint32, family resource.Family) string {
	return string(append(binary.BigEndian.AppendUint32(nil, port), byte(family)))
}

func portKeys(g *resource.Gateway) []string {
	var out []string
	for i := range g.Servers {
		s := &g.Servers[i]
		out = append(out, portKey(s.Port, s.Family())+s.Bind+sep+s.Protocol+sep+identity(&g.Meta))
	}
	return out
}
