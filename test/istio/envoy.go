package main

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	envoylistener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	envoyroute "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	httpmanager "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxy "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tlssocket "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"istio.io/istio/pkg/wellknown"
)

// proxy is what Envoy makes of a configuration: the part of its behaviour that decides what
// answers a request, and what it refuses.
type proxy struct {
	// listeners by port. Those of one port have different addresses.
	listeners map[uint32][]*listener
}

type listener struct {
	address string
	port    uint32
	chains  []*chain
	// refused says why Envoy does not accept the listener; empty if it does.
	refused string
}

// chain is a filter chain.
type chain struct {
	// names are the server names it is for, in lower case; none is every connection.
	names []string
	alpn  []string
	// tls reports whether the chain terminates TLS, with the credential.
	tls        bool
	credential string
	// routeName and hosts are those of an HTTP connection manager, clusters where a TCP proxy
	// sends connections.
	routeName string
	hosts     []*virtualHost
	clusters  []string
}

type virtualHost struct {
	domains    []string
	requireTLS bool
	routes     []*route
}

type route struct {
	match *envoyroute.RouteMatch
	// by is the object that Istio made the route of: "namespace/name" of a VirtualService.
	by string
	// does identifies what the route does, beside for which requests.
	does string
}

// newProxy makes the proxy of what Istio sends.
func newProxy(s *sent) (*proxy, error) {
	p := &proxy{listeners: map[uint32][]*listener{}}
	for _, l := range s.listeners {
		address := l.GetAddress().GetSocketAddress()
		out := &listener{address: address.GetAddress(), port: address.GetPortValue()}
		for _, c := range l.FilterChains {
			made, err := newChain(c, s.routes)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", l.Name, err)
			}
			out.chains = append(out.chains, made)
		}
		out.refused = refusal(out.chains)
		p.listeners[out.port] = append(p.listeners[out.port], out)
	}
	return p, nil
}

func newChain(c *envoylistener.FilterChain, routes map[string]*envoyroute.RouteConfiguration) (*chain, error) {
	out := &chain{alpn: c.GetFilterChainMatch().GetApplicationProtocols()}
	for _, n := range c.GetFilterChainMatch().GetServerNames() {
		out.names = append(out.names, strings.ToLower(n))
	}
	if socket := c.GetTransportSocket(); socket != nil {
		tls := &tlssocket.DownstreamTlsContext{}
		if err := socket.GetTypedConfig().UnmarshalTo(tls); err != nil {
			return nil, err
		}
		out.tls = true
		for _, secret := range tls.GetCommonTlsContext().GetTlsCertificateSdsSecretConfigs() {
			out.credential += secret.GetName()
		}
	}
	for _, f := range c.Filters {
		switch f.Name {
		case wellknown.HTTPConnectionManager:
			m := &httpmanager.HttpConnectionManager{}
			if err := f.GetTypedConfig().UnmarshalTo(m); err != nil {
				return nil, err
			}
			out.routeName = m.GetRds().GetRouteConfigName()
			for _, h := range routes[out.routeName].GetVirtualHosts() {
				made, err := newVirtualHost(h)
				if err != nil {
					return nil, err
				}
				out.hosts = append(out.hosts, made)
			}
		case wellknown.TCPProxy:
			t := &tcpproxy.TcpProxy{}
			if err := f.GetTypedConfig().UnmarshalTo(t); err != nil {
				return nil, err
			}
			if t.GetCluster() != "" {
				out.clusters = append(out.clusters, t.GetCluster())
			}
			for _, w := range t.GetWeightedClusters().GetClusters() {
				out.clusters = append(out.clusters, w.GetName())
			}
		}
	}
	return out, nil
}

func newVirtualHost(h *envoyroute.VirtualHost) (*virtualHost, error) {
	out := &virtualHost{domains: h.Domains, requireTLS: h.RequireTls == envoyroute.VirtualHost_ALL}
	for _, r := range h.Routes {
		config := r.GetMetadata().GetFilterMetadata()["istio"].GetFields()["config"].GetStringValue()
		parts := strings.Split(config, "/")
		if len(parts) < 4 {
			return nil, fmt.Errorf("route %q tells no config", r.Name)
		}
		action := proto.Clone(r).(*envoyroute.Route)
		action.Match = nil
		does, err := proto.MarshalOptions{Deterministic: true}.Marshal(action)
		if err != nil {
			return nil, err
		}
		out.routes = append(out.routes, &route{
			match: r.Match, by: parts[len(parts)-3] + "/" + parts[len(parts)-1], does: string(does),
		})
	}
	return out, nil
}

// refusal tells why Envoy refuses a listener with the chains (FilterChainManagerImpl::
// addFilterChains in envoyproxy/envoy source/common/listener_manager/
// filter_chain_manager_impl.cc): a wildcard for a part of a label, and two chains for the
// same connections.
func refusal(chains []*chain) string {
	seen := map[string]bool{}
	for _, c := range chains {
		names := c.names
		if len(names) == 0 {
			names = []string{""}
		}
		protocols := c.alpn
		if len(protocols) == 0 {
			protocols = []string{""}
		}
		for _, n := range names {
			if strings.Contains(n, "*") && !strings.HasPrefix(n, "*.") {
				return fmt.Sprintf("partial wildcard %q", n)
			}
			for _, a := range protocols {
				if id := n + "|" + a; seen[id] {
					return fmt.Sprintf("two filter chains for server name %q", n)
				} else {
					seen[id] = true
				}
			}
		}
	}
	return ""
}

// request is one to the gateway's pod.
type request struct {
	port uint32
	// tls reports whether the client speaks TLS, with host as the server name.
	tls     bool
	host    string
	path    string
	headers map[string]string
}

func (r request) String() string {
	scheme := "http"
	if r.tls {
		scheme = "https"
	}
	out := fmt.Sprintf("%s://%s:%d%s", scheme, r.host, r.port, r.path)
	for _, k := range sortedKeys(r.headers) {
		out += fmt.Sprintf(" %s=%s", k, r.headers[k])
	}
	return out
}

// answer is what a request gets. The zero value is nothing at all.
type answer struct {
	listener *listener
	chain    *chain
	host     *virtualHost
	route    *route
	redirect bool // to HTTPS, before any route is asked
}

// place tells which filter chain answers, as far as a client can tell.
func (a answer) place() string {
	switch {
	case a.listener == nil:
		return "no listener"
	case a.listener.refused != "":
		return "listener refused: " + a.listener.refused
	case a.chain == nil:
		return "no filter chain"
	}
	return fmt.Sprintf("%s tls=%v %s%s %v", a.listener.address, a.chain.tls, a.chain.credential, a.chain.routeName, a.chain.clusters)
}

// routed tells which route answers.
func (a answer) routed() string {
	switch {
	case a.redirect:
		return "redirect to HTTPS"
	case a.route == nil:
		return "no route"
	}
	return a.route.by + " " + a.route.does
}

// String writes the answer for people.
func (a answer) String() string {
	out := a.place()
	switch {
	case a.redirect:
		out += ", redirected to HTTPS"
	case a.route != nil:
		out += ", route of " + a.route.by
	case a.chain != nil && a.chain.routeName != "":
		out += ", no route"
	}
	return out
}

// listener returns the one that gets connections to the pod's address: the kernel prefers
// the socket with the most specific one.
func (p *proxy) listener(port uint32) *listener {
	var anywhere *listener
	for _, l := range p.listeners[port] {
		switch a, err := netip.ParseAddr(l.address); {
		case l.address == podIP:
			return l
		case err == nil && a.Is4() && a.IsUnspecified():
			anywhere = l
		}
	}
	return anywhere
}

// answer tells what answers a request.
func (p *proxy) answer(r request) answer {
	a := answer{listener: p.listener(r.port)}
	if a.listener == nil || a.listener.refused != "" {
		return a
	}
	name := ""
	if r.tls {
		name = r.host
	}
	a.chain = a.listener.chain(name)
	// A chain that terminates TLS has no answer to plain text, and one that expects HTTP none
	// to TLS.
	if a.chain == nil || a.chain.tls && !r.tls || r.tls && !a.chain.tls && a.chain.routeName != "" {
		a.chain = nil
		return a
	}
	a.host = mostSpecific(a.chain.hosts, r.host)
	if a.host == nil {
		return a
	}
	if a.redirect = a.host.requireTLS && !r.tls; a.redirect {
		return a
	}
	for _, candidate := range a.host.routes {
		if matches(candidate.match, r) {
			a.route = candidate
			break
		}
	}
	return a
}

// chain returns the filter chain for a server name, or for a connection without one ("").
// Envoy asks for the exact name, then for wildcards from the longest to the shortest, and
// never goes back.
func (l *listener) chain(name string) *chain {
	candidates := []string{name}
	for rest := name; ; {
		_, after, found := strings.Cut(rest, ".")
		if !found {
			break
		}
		candidates = append(candidates, "*."+after)
		rest = after
	}
	for _, want := range candidates {
		for _, c := range l.chains {
			if name != "" && len(c.alpn) == 0 && slices.Contains(c.names, want) {
				return c
			}
		}
	}
	for _, c := range l.chains {
		if len(c.names) == 0 && len(c.alpn) == 0 {
			return c
		}
	}
	return nil
}

// mostSpecific finds the virtual host: an exact domain, the longest suffix wildcard, "*".
func mostSpecific(hosts []*virtualHost, name string) *virtualHost {
	var found *virtualHost
	longest := -1
	for _, h := range hosts {
		for _, d := range h.domains {
			length := -1
			switch suffix, wildcard := strings.CutPrefix(d, "*"); {
			case d == name:
				length = 1 << 20
			case d == "*":
				length = 0
			case wildcard && len(name) > len(suffix) && strings.HasSuffix(name, suffix):
				length = len(suffix)
			}
			if length > longest {
				found, longest = h, length
			}
		}
	}
	return found
}

// matches reports whether a route is for a request.
func matches(m *envoyroute.RouteMatch, r request) bool {
	path, compare := r.path, func(s string) string { return s }
	if m.GetCaseSensitive() != nil && !m.GetCaseSensitive().GetValue() {
		compare = strings.ToLower
	}
	query := ""
	path, query, _ = strings.Cut(path, "?")
	switch p := m.PathSpecifier.(type) {
	case *envoyroute.RouteMatch_Prefix:
		if !strings.HasPrefix(compare(path), compare(p.Prefix)) {
			return false
		}
	case *envoyroute.RouteMatch_Path:
		if compare(path) != compare(p.Path) {
			return false
		}
	case *envoyroute.RouteMatch_PathSeparatedPrefix:
		if rest, ok := strings.CutPrefix(compare(path), compare(p.PathSeparatedPrefix)); !ok || rest != "" && rest[0] != '/' {
			return false
		}
	case *envoyroute.RouteMatch_SafeRegex:
		if !fullMatch(p.SafeRegex.GetRegex(), path) {
			return false
		}
	}
	for _, h := range m.Headers {
		if headerMatches(h, r) == h.InvertMatch {
			return false
		}
	}
	for _, q := range m.QueryParameters {
		value, present := "", false
		for _, pair := range strings.Split(query, "&") {
			if k, v, _ := strings.Cut(pair, "="); k == q.Name && pair != "" {
				value, present = v, true
				break
			}
		}
		if !present || q.GetStringMatch() != nil && !stringMatches(q.GetStringMatch(), value) {
			return false
		}
	}
	return true
}

func headerMatches(h *envoyroute.HeaderMatcher, r request) bool {
	value, present := r.header(h.Name)
	switch s := h.HeaderMatchSpecifier.(type) {
	case *envoyroute.HeaderMatcher_StringMatch:
		return present && stringMatches(s.StringMatch, value)
	case *envoyroute.HeaderMatcher_PresentMatch:
		return present == s.PresentMatch
	}
	return present
}

func (r request) header(name string) (string, bool) {
	switch name {
	case ":method":
		if m, ok := r.headers[name]; ok {
			return m, true
		}
		return "GET", true
	case ":authority":
		return r.host, true
	case ":scheme":
		if r.tls {
			return "https", true
		}
		return "http", true
	}
	v, ok := r.headers[name]
	return v, ok
}

func stringMatches(m *matcher.StringMatcher, s string) bool {
	fold := func(s string) string { return s }
	if m.IgnoreCase {
		fold = strings.ToLower
	}
	switch p := m.MatchPattern.(type) {
	case *matcher.StringMatcher_Exact:
		return fold(s) == fold(p.Exact)
	case *matcher.StringMatcher_Prefix:
		return strings.HasPrefix(fold(s), fold(p.Prefix))
	case *matcher.StringMatcher_SafeRegex:
		return fullMatch(p.SafeRegex.GetRegex(), s)
	}
	return false
}

var compiled = map[string]*regexp.Regexp{}

func fullMatch(expression, s string) bool {
	re, ok := compiled[expression]
	if !ok {
		re = regexp.MustCompile("^(?:" + expression + ")$")
		compiled[expression] = re
	}
	return re.MatchString(s)
}
