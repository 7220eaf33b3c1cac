package cli

import (
	"crypto/tls"
	"time"

	"github.com/gatewarden/gatewarden/pkg/metrics"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/servingcert"
)

// sources are what the metrics show beside what they count.
func (p parts) sources() metrics.Sources {
	version, commit := buildVersion()
	out := metrics.Sources{
		Version: version, Commit: commit,
		Ready:         func() bool { return p.handler.Ready() == nil },
		Generation:    func() uint64 { return p.source.writer.Snapshot().Generation() },
		Objects:       p.source.count,
		Synced:        p.source.synced,
		NotBefore:     func() time.Time { return notBefore(p.cert) },
		NotAfter:      p.cert.NotAfter,
		Configuration: p.engine.measure,
	}
	if p.source.cluster != nil {
		out.Age, out.WatchLost = p.source.age, p.source.cluster.Lost
	}
	if p.leader != nil {
		out.Leading = p.leader.Leading
	}
	if p.gate != nil {
		out.Held = p.gate.Held
	}
	return out
}

// notBefore is the beginning of a certificate's validity, or zero if there is no certificate.
func notBefore(source servingcert.Source) time.Time {
	if source.NotAfter().IsZero() { // it shows one all the same, which is not meant to be trusted
		return time.Time{}
	}
	certificate, err := source.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil || certificate == nil || certificate.Leaf == nil {
		return time.Time{}
	}
	return certificate.Leaf.NotBefore
}

// count counts the objects of each kind.
func (s *stateSource) count() map[resource.Kind]int {
	out := map[resource.Kind]int{}
	snapshot := s.writer.Snapshot()
	for _, api := range resource.APIs {
		n := 0
		snapshot.Each(api.Kind, "", func(resource.Object) bool { n++; return true })
		out[api.Kind] = n
	}
	return out
}

// age is how long ago the API server was last heard of the kind of which that is longest ago.
// Kinds that only audits read do not count: admission does without them.
func (s *stateSource) age() time.Duration {
	var age time.Duration
	for _, w := range s.cluster.Watched() {
		if resource.ForAudits(w.Kind) {
			continue
		}
		silent := w.Lost
		if !w.Heard.IsZero() {
			silent = time.Since(w.Heard)
		}
		age = max(age, silent)
	}
	return age
}

// measure tells of the configuration in force.
func (r *reloader) measure() metrics.Configuration {
	cfg, status := r.Engine().Config(), r.status.Load()
	expired := len(cfg.Expired())
	return metrics.Configuration{
		Current: status.problem == "", Loaded: status.loaded, Openings: len(rules.Openings(cfg)),
		Live: len(cfg.Exemptions) - expired, Expired: expired, NextExpiry: cfg.NextExpiry(),
	}
}
