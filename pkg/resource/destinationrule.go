package resource

// DestinationRule is networking.istio.io DestinationRule: how clients reach a host.
type DestinationRule struct {
	Meta
	Host     string // as written: a short name is one of the object's namespace
	ExportTo []string
	// WorkloadSelector tells which clients of its own namespace the object is for; nil is
	// no selector, and an empty one is every workload of the namespace.
	WorkloadSelector map[string]string
	Policy           TrafficPolicy
	Subsets          []Subset
}

// TrafficPolicy is the part of a DestinationRule's TrafficPolicy that policy reads.
type TrafficPolicy struct {
	// TLS is the mode of the tls block, for example "DISABLE", which is also that of a
	// block without a mode; empty without a block.
	TLS string
	// Ports are the portLevelSettings, which replace the rest for their port.
	Ports []PortPolicy
}

// PortPolicy is one entry of portLevelSettings.
type PortPolicy struct {
	Port uint32 // of the Service
	TLS  string // as in TrafficPolicy
}

// Subset is one entry of a DestinationRule's subsets.
type Subset struct {
	Name   string
	Policy TrafficPolicy
}

// Key returns the identity of the DestinationRule.
func (o *DestinationRule) Key() Key { return Key{KindDestinationRule, o.Namespace, o.Name} }
