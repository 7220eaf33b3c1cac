package resource

// Sidecar is networking.istio.io Sidecar, of which only its own TLS termination is read.
type Sidecar struct {
	Meta
	WorkloadSelector map[string]string // empty: every workload of the namespace
	Ingress          []IngressListener
}

// IngressListener is one entry of a Sidecar's ingress.
type IngressListener struct {
	Port uint32
	// TLS is the mode of the tls block, for example "SIMPLE"; empty without a block.
	TLS string
}

// Key returns the identity of the Sidecar.
func (o *Sidecar) Key() Key { return Key{KindSidecar, o.Namespace, o.Name} }
