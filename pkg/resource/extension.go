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

// EnvoyPatch is one entry of spec.configPatches, without what it puts in.
type EnvoyPatch struct {
	ApplyTo   string // LISTENER, HTTP_FILTER, ...
	Context   string // GATEWAY, SIDECAR_INBOUND, ...; empty is ANY
	Operation string // ADD, MERGE, REMOVE, ...
	Listener  ListenerMatch
	Route     RouteConfigurationMatch
	Cluster   ClusterMatch
}

// ListenerMatch narrows a patch to listeners and their filter chains. Zero fields match all.
type ListenerMatch struct {
	Port uint32 // that the proxy listens on
	Name string
	SNI  string // of the filter chain
}

// RouteConfigurationMatch narrows a patch to route configurations. Zero fields match all.
type RouteConfigurationMatch struct {
	Port              uint32
	PortName, Gateway string // of the server; "namespace/name"
	Name              string
}

// ClusterMatch narrows a patch to clusters. Zero fields match all.
type ClusterMatch struct{ Service, Name string }

// ProxyExtension is extensions.istio.io WasmPlugin or TrafficExtension.
type ProxyExtension struct {
	Meta
	Target
	Kind Kind
	// Network is true for a filter of connections, false for one of HTTP requests.
	Network bool
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
	// Conditioned is true when "from" or "when" narrows the rule.
	Conditioned bool
	To          []AuthorizedOperation // empty: every request
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

// Key returns the identity of the EnvoyFilter.
func (o *EnvoyFilter) Key() Key { return Key{KindEnvoyFilter, o.Namespace, o.Name} }

// Key returns the identity of the extension.
func (o *ProxyExtension) Key() Key { return Key{o.Kind, o.Namespace, o.Name} }

// Key returns the identity of the AuthorizationPolicy.
func (o *AuthorizationPolicy) Key() Key { return Key{KindAuthorizationPolicy, o.Namespace, o.Name} }

// Key returns the identity of the RequestAuthentication.
func (o *RequestAuthentication) Key() Key { return Key{KindRequestAuthentication, o.Namespace, o.Name} }
