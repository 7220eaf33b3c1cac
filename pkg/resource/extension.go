package resource

// Target is how a policy of Istio says which pods it is for: by labels, or by objects.
type Target struct {
	// Selector is empty for all pods of the policy's namespace.
	Selector map[string]string
	// Refs are targetRefs, or the one of the deprecated targetRef.
	Refs []TargetRef
}

// TargetRef is one entry of targetRefs.
type TargetRef struct{ Group, Kind, Name, Namespace string }

// EnvoyFilter is networking.istio.io EnvoyFilter.
type EnvoyFilter struct {
	Meta
	Target
	Patches []EnvoyPatch
}

// EnvoyPatch is one entry of spec.configPatches. Zero fields of a match match all.
type EnvoyPatch struct {
	ApplyTo   string // LISTENER, HTTP_FILTER, ...
	Context   string // GATEWAY, SIDECAR_INBOUND, ...; empty is ANY
	Operation string // ADD, MERGE, REMOVE, ...
	// Namespace is the one of the proxies that match.proxy.metadata asks for.
	Namespace string
	Listener  ListenerMatch
	Route     RouteConfigurationMatch
	Cluster   ClusterMatch
	Value     EnvoyValue
}

// ListenerMatch narrows a patch to listeners, their filter chains and filters.
type ListenerMatch struct {
	Port uint32 // that the proxy listens on
	Name string
	// ListenerFilter, Filter and SubFilter are names of filters of the listener, of the filter
	// chain, and of its HTTP connection manager.
	ListenerFilter, Filter, SubFilter string
	SNI                               string // of the filter chain
	// Chain is set if the filter chain is matched by its name, its protocols or its
	// destination port, too.
	Chain bool
}

// RouteConfigurationMatch narrows a patch to route configurations, virtual hosts and routes.
type RouteConfigurationMatch struct {
	Port              uint32
	PortName, Gateway string // of the server; "namespace/name"
	Name              string
	VirtualHost       string // "host:port"
	Domain            string // one of the virtual host's
	Route             string
}

// ClusterMatch narrows a patch to clusters.
type ClusterMatch struct{ Service, Name string }

// EnvoyValue is what is read of the value that a patch puts in.
type EnvoyValue struct {
	Empty bool   // {}: there is nothing to merge
	Name  string // of the listener, filter or cluster
	// Type is that of the filter's configuration, for example
	// "envoy.extensions.filters.http.lua.v3.Lua".
	Type     string
	Disabled bool // an HTTP filter that only routes switch on
	// Addresses are those of a listener.
	Addresses []EnvoyAddress
	// Names are the server names of a filter chain, or the domains of a virtual host.
	Names []string
	// Destination is set if a filter chain is for some ports or addresses only.
	Destination bool
	// Routed are the names of filters that get another configuration for some routes.
	Routed []string
	// Fields are those of the fields that it sets on which it depends what a sidecar enforces,
	// in rising order: its filter chains, their match and filters, an HTTP connection
	// manager's filters, and a transport socket that says more than versions and ciphers.
	Fields []string
}

// EnvoyAddress is an address that a listener is bound to.
type EnvoyAddress struct {
	IP   string
	Port uint32
}

// ProxyExtension is extensions.istio.io WasmPlugin or TrafficExtension.
type ProxyExtension struct {
	Meta
	Target
	Kind Kind
	// Network is true for a filter of connections, false for one of HTTP requests.
	Network bool
	Phase   string         // AUTHN, AUTHZ, STATS, or behind all of them
	Matches []TrafficMatch // empty: all traffic
}

// TrafficMatch is one entry of spec.match of a ProxyExtension.
type TrafficMatch struct {
	Mode  string // CLIENT, SERVER, CLIENT_AND_SERVER; empty is both
	Ports []uint32
}

// AuthorizationPolicy is security.istio.io AuthorizationPolicy.
type AuthorizationPolicy struct {
	Meta
	Target
	Action string // ALLOW, DENY, AUDIT or CUSTOM
	Rules  []AuthorizationRule
}

// AuthorizationRule is one entry of an AuthorizationPolicy's rules.
type AuthorizationRule struct {
	// Conditioned is true when "from" narrows the rule, or "when" by anything but ports, which
	// are among those of "to".
	Conditioned bool
	// Identified is true for a rule that matches nobody without a certificate of the mesh.
	Identified bool
	// SNI and NotSNI are the names that a connection must and must not ask for.
	SNI, NotSNI []string
	// Principals are those that "from" names; none if it lets others through as well.
	Principals []string
	To         []AuthorizedOperation // empty: every request
}

// AuthorizedOperation is one entry of a rule's "to".
type AuthorizedOperation struct {
	Hosts, NotHosts, Ports, NotPorts []string
	// Narrowed is true when methods or paths narrow it, too.
	Narrowed bool
}

// RequestAuthentication is security.istio.io RequestAuthentication.
type RequestAuthentication struct {
	Meta
	Target
	Rules []JWTRule
}

// JWTRule is one entry of spec.jwtRules.
type JWTRule struct {
	Issuer string
	// Headers are where tokens are taken from. Elsewhere tells of parameters and cookies; with
	// neither they are taken from the header Authorization and the parameter access_token.
	Headers   []string
	Elsewhere bool
	// Outputs are headers that are set to what a token says.
	Outputs []string
}

// Telemetry is telemetry.istio.io Telemetry.
type Telemetry struct {
	Meta
	Target
	// Expressions are those that the listeners of a gateway get.
	Expressions []Expression
}

// Expression is an expression of the Common Expression Language.
type Expression struct {
	Field string
	// Filter is set for one that filters an access log; else it is a metric's tag.
	Filter bool
	// Wrong says why it can not be parsed, and is empty for one that can.
	Wrong string
	// Functions are the names of those that it calls, operators and macros among them.
	Functions []string
}

// ProxyConfig is networking.istio.io ProxyConfig.
type ProxyConfig struct {
	Meta
	Selector map[string]string // empty for all pods of its namespace, or in the root namespace of the mesh
	// Unprivileged is the value of ISTIO_META_UNPRIVILEGED_POD.
	Unprivileged string
}

// Key returns the identity of the EnvoyFilter.
func (o *EnvoyFilter) Key() Key { return Key{KindEnvoyFilter, o.Namespace, o.Name} }

// Key returns the identity of the extension.
func (o *ProxyExtension) Key() Key { return Key{o.Kind, o.Namespace, o.Name} }

// Key returns the identity of the AuthorizationPolicy.
func (o *AuthorizationPolicy) Key() Key { return Key{KindAuthorizationPolicy, o.Namespace, o.Name} }

// Key returns the identity of the RequestAuthentication.
func (o *RequestAuthentication) Key() Key { return Key{KindRequestAuthentication, o.Namespace, o.Name} }

// Key returns the identity of the Telemetry.
func (o *Telemetry) Key() Key { return Key{KindTelemetry, o.Namespace, o.Name} }

// Key returns the identity of the ProxyConfig.
func (o *ProxyConfig) Key() Key { return Key{KindProxyConfig, o.Namespace, o.Name} }
