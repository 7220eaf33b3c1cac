package resource

import "strings"

// Family groups the protocols of servers that can share a listener.
type Family uint8

// The families. Servers of one family share a port if their hosts differ, except for
// Opaque, which can not be shared at all.
const (
	Opaque    Family = iota // TCP, Mongo, MySQL, Redis, UDP and what Istio does not know
	PlainHTTP               // HTTP, HTTP2, GRPC, GRPC-Web, HTTP_PROXY
	TLS                     // HTTPS and TLS in any mode
)

// Families lists them all.
var Families = []Family{Opaque, PlainHTTP, TLS}

func (f Family) String() string {
	switch f {
	case PlainHTTP:
		return "plain-text HTTP"
	case TLS:
		return "TLS"
	}
	return "plain-text TCP"
}

// Family tells the family of the server, as IsTLSServer in istio.io/istio
// pkg/config/gateway/gateway.go and IsHTTP in pkg/config/protocol/instance.go do: an HTTP
// protocol is plain text even with a tls block (which then only redirects), everything else
// is TLS exactly if it has one.
func (s *Server) Family() Family {
	switch strings.ToLower(s.Protocol) {
	case "http", "http2", "grpc", "grpc-web", "http_proxy":
		return PlainHTTP
	}
	if s.TLS != nil {
		return TLS
	}
	return Opaque
}
