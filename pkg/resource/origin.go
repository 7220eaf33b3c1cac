package resource

import "strings"

// Origin leads from an object that Istio makes of another one, such as the Gateway that it
// makes of an Ingress, back to what somebody wrote.
type Origin struct {
	// Key is that of the object that was written.
	Key Key
	// Fields leads from paths of the made object to those of the written one, for example
	// from "spec.servers[1].hosts[0]" to "spec.tls[1].hosts[0]". A path that is not in it is
	// found by the longest path above it that is; "" is above all.
	Fields map[string]string
}

// Field returns the path under which the author of the object knows a field: the path
// itself, or for a made object that of the field that it was made of.
func (m *Meta) Field(path string) string {
	if m.Origin == nil {
		return path
	}
	for p := path; ; {
		if f, ok := m.Origin.Fields[p]; ok {
			return f
		}
		i := strings.LastIndexAny(p, ".[")
		if i < 0 {
			return m.Origin.Fields[""]
		}
		p = p[:i]
	}
}

// key is the identity that people know the object by.
func (m *Meta) key(kind Kind) Key {
	if m.Origin != nil {
		return m.Origin.Key
	}
	return Key{kind, m.Namespace, m.Name}
}
