package policy

import (
	"slices"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Split is a plain-text listener of which Istio makes two without a word, so that the proxy
// gets two filter chains for every connection and refuses it.
type Split struct {
	// Server is one of the two servers of the listener, and not the encountered one if that is
	// the other.
	Server *Server
	// Between is the server with another bind that comes between them, if the binds of the two
	// are written alike.
	Between *Server
	// Harmed is a server on the listener of the owner's or of another namespace; nil if there
	// is none.
	Harmed *Server
}

// Splits tells by which other plain-text server an encountered one of the Gateway makes the
// proxy refuse a listener. ok is false if it does not.
//
// mergeGateways in istio.io/istio pilot/pkg/model/gateway.go keeps servers apart by port,
// protocol and bind as they are written, and compares each plain-text server only with the
// last one on the port that had a bind of its own. So it does not merge what is one listener
// (getListenerName in pilot/pkg/networking/core/gateway.go) for the proxy:
//
//   - two binds for one address, such as none and 0.0.0.0;
//   - two names of protocols, such as HTTP and GRPC, with one bind, if a server with another
//     bind comes between them, which depends on age.
func (w *World) Splits(gw *resource.Gateway, e *Encounter) (split Split, ok bool) {
	if e.Server.Family == TLS {
		return Split{}, false
	}
	others := w.plainText(gw, e)
	for _, a := range others {
		if e.Server.Family == PlainHTTP && a.Family == PlainHTTP && a.SharesListener(&e.Server) {
			between := elsewhere(a, others)
			if a.Bind != e.Server.Bind || a.Protocol != e.Server.Protocol && between != nil {
				split, ok = Split{Server: a, Harmed: harmed(e, a, others)}, true
				if a.Bind == e.Server.Bind {
					split.Between = between
				}
			}
		}
		for _, b := range others {
			apart := a.Family == PlainHTTP && b.Family == PlainHTTP && a.Bind == b.Bind && a.Protocol < b.Protocol && a.SharesListener(b)
			if apart && a.Bind != e.Server.Bind && a.OnPortOf(&e.Server) {
				split, ok = Split{Server: a, Between: &e.Server, Harmed: harmed(e, a, others)}, true
			}
		}
		if ok && split.Harmed != nil {
			return split, true
		}
	}
	return split, ok
}

// plainText returns the plain-text servers on the ports of the encountered one, beside it:
// all of the owner's and of its own Gateway, and of others one for each way to write bind and
// protocol.
func (w *World) plainText(gw *resource.Gateway, e *Encounter) []*Server {
	var out []*Server
	add := func(servers []Server) (any bool) {
		for i := range servers {
			s := &servers[i]
			own := s.Gateway == e.Server.Gateway && s.Index == e.Server.Index
			if s.Family != TLS && !own && s.OnPortOf(&e.Server) {
				out = append(out, s)
				any = true
			}
		}
		return any
	}
	add(e.Pods.Servers)
	if own := w.HostsOf(e.Pods, gw); own != nil && !e.Owners {
		add(own.Servers)
	}
	for _, port := range e.Pods.Sources(e.Server.Ports) {
		for _, family := range []resource.Family{PlainHTTP, Opaque} {
			w.Snapshot.GatewaysByBind(port, family, func(o *resource.Gateway) bool {
				if o.Key() == e.Server.Gateway || e.Guard.IsOwners(o.Key()) {
					return false
				}
				table := w.HostsOf(e.Pods, o)
				return table != nil && add(table.Servers) && o.Namespace != e.Server.Gateway.Namespace
			})
		}
	}
	return out
}

// OnPortOf reports whether two servers may be on one port, whatever their addresses.
func (s *Server) OnPortOf(o *Server) bool {
	return slices.ContainsFunc(s.Ports, func(p uint32) bool { return slices.Contains(o.Ports, p) })
}

// elsewhere returns a server whose bind is another one than that of s.
func elsewhere(s *Server, among []*Server) *Server {
	i := slices.IndexFunc(among, func(o *Server) bool { return o.Bind != s.Bind && o.OnPortOf(s) })
	if i < 0 {
		return nil
	}
	return among[i]
}

// harmed returns a server on the listener of s that is not of the encountered Gateway's
// namespace.
func harmed(e *Encounter, s *Server, among []*Server) *Server {
	i := slices.IndexFunc(among, func(o *Server) bool {
		return o.SharesListener(s) && (e.Guard.IsOwners(o.Gateway) || o.Gateway.Namespace != e.Server.Gateway.Namespace)
	})
	if i < 0 {
		return nil
	}
	return among[i]
}
