// Package hostname is the algebra of the host names that Istio's Gateways and
// VirtualServices accept: exact names, and names that start with a wildcard.
//
// The order on names is the one Envoy serves by: an exact name before a wildcard, a longer
// wildcard before a shorter one, "*" last. To cover a name is to be served instead of it
// where nothing more specific exists.
package hostname

import "strings"

// Name is a host name in lower case, either exact ("app.example.org") or a wildcard: "*"
// followed by the suffix that every covered name ends with. "*.example.org" is the usual
// form; Istio's validation also accepts "*-app.example.org" (labels.IsWildcardDNS1123Label
// in istio.io/istio pkg/config/labels), and "*" alone covers every name.
type Name string

// Any covers every name.
const Any Name = "*"

// Parse makes a Name of a host as it is written. Envoy matches SNI and virtual host
// domains without regard to case, and Istio lower-cases both before it sends them
// (buildGatewayHTTPRouteConfig in pilot/pkg/networking/core/gateway.go). A dot at the end
// only says that the name is complete.
func Parse(s string) Name { return Name(strings.TrimSuffix(strings.ToLower(s), ".")) }

// IsWildcard reports whether the name starts with "*".
func (n Name) IsWildcard() bool { return len(n) > 0 && n[0] == '*' }

// suffix is what a wildcard's names end with.
func (n Name) suffix() string { return string(n[1:]) }

// Covers reports whether every name that o stands for is one that n stands for. Every
// name covers itself. It is host.Name.SubsetOf of istio.io/istio pkg/config/host, with the
// sides exchanged.
func (n Name) Covers(o Name) bool {
	if !n.IsWildcard() {
		return n == o
	}
	if o.IsWildcard() {
		return strings.HasSuffix(o.suffix(), n.suffix())
	}
	return strings.HasSuffix(string(o), n.suffix())
}

// Overlaps reports whether there are names that both stand for. Since wildcards are
// suffixes, one of two overlapping names covers the other.
func (n Name) Overlaps(o Name) bool { return n.Covers(o) || o.Covers(n) }

// Intersect returns the narrower of two overlapping names, and false for disjoint ones.
func (n Name) Intersect(o Name) (Name, bool) {
	switch {
	case n.Covers(o):
		return o, true
	case o.Covers(n):
		return n, true
	}
	return "", false
}

// Within reports whether every name that n stands for is the domain or below it.
func (n Name) Within(domain Name) bool {
	return n == domain || strings.HasSuffix(string(n), "."+string(domain))
}

// Touches reports whether n stands for the domain or for any name below it.
func (n Name) Touches(domain Name) bool {
	return n.Within(domain) || n.Covers(domain) || n.Covers("*."+domain)
}

// PartialWildcard reports whether the "*" is only a part of its label, as in
// "*-app.example.org". Envoy refuses a listener with such a server name ("partial
// wildcards are not supported in server_names", FilterChainManagerImpl::addFilterChains
// in source/common/listener_manager/filter_chain_manager_impl.cc).
func (n Name) PartialWildcard() bool {
	return n.IsWildcard() && n != Any && n[1] != '.'
}

// Server is one entry of a Gateway server's hosts.
type Server struct {
	// Namespace is the one whose VirtualServices may bind to the host; empty for all.
	Namespace string
	// Host is the host as it was written, without the namespace.
	Host string
	// Key is what Istio compares when it looks for duplicates: the entry after
	// sanitizeServerHostNamespace, namespace and letter case included.
	Key string
	// Name is Host, parsed.
	Name Name
}

// AnyInAnyNamespace is the host entry that Istio turns a whole list into.
const AnyInAnyNamespace = "*/*"

// ServerHosts reads the hosts of one server of a Gateway in namespace, as
// sanitizeServerHostNamespace does (istio.io/istio pilot/pkg/model/gateway.go): "./h"
// becomes "<namespace>/h", "*/h" becomes "h", and a list that contains "*/*" becomes "*".
func ServerHosts(hosts []string, namespace string) []Server {
	out := make([]Server, 0, len(hosts))
	for _, h := range hosts {
		if h == AnyInAnyNamespace {
			return []Server{{Host: "*", Key: "*", Name: Any}}
		}
		s := Server{Host: h, Key: h}
		if ns, host, ok := strings.Cut(h, "/"); ok {
			switch ns {
			case ".":
				ns = namespace
			case "*":
				ns = ""
			}
			s = Server{Namespace: ns, Host: host, Key: host}
			if ns != "" {
				s.Key = ns + "/" + host
			}
		}
		s.Name = Parse(s.Host)
		out = append(out, s)
	}
	return out
}

// Admits reports whether VirtualServices of the namespace may bind to the host
// (NamesForNamespace in istio.io/istio pkg/config/host/names.go).
func (s Server) Admits(namespace string) bool {
	return s.Namespace == "" || s.Namespace == namespace
}

// Bind returns the name under which a VirtualService's host is served by this server
// host, and false if they do not meet. Istio compares before it lower-cases (Names.
// Intersection, then strings.ToLower in buildGatewayHTTPRouteConfig), so an odd letter
// case binds to a wildcard but never to an exact name that is written otherwise.
func (s Server) Bind(host string) (Name, bool) {
	n, ok := Name(s.Host).Intersect(Name(host))
	return Parse(string(n)), ok
}
