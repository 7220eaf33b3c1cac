package cli

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/util/cert"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/report"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// statusPath is where the status is served, beside the metrics.
const statusPath = "/statusz"

// status tells what is guarded, and by what.
func (p parts) status(o serveOptions, started time.Time) report.Status {
	version, commit := buildVersion()
	out := report.Status{
		Version: version, Commit: commit, GoVersion: runtime.Version(),
		Now: time.Now().UTC(), Started: started.UTC(),
		Certificate:   p.certificateStatus(o),
		Configuration: p.engine.configurationStatus(),
		Audits:        p.auditStatus(o),
		Ledger:        report.LedgerStatus{Where: o.ledger.place(p.source)},
		State:         report.StateStatus{Source: p.source.name(), Synced: p.source.synced()},
		Gateways:      []report.GatewayStatus{},
	}
	if err := p.handler.Ready(); err != nil {
		out.NotReady = err.Error()
	}
	if p.gate != nil {
		out.Ledger.OnTheirWay = p.gate.Held()
	}
	if p.leader != nil {
		leading := p.leader.Leading()
		out.Leading = &leading
	}
	snapshot := p.source.writer.Snapshot()
	out.State.Generation, out.State.Objects = snapshot.Generation(), snapshot.Len()
	world := p.engine.Engine().World(snapshot)
	for _, g := range world.Guards {
		out.Gateways = append(out.Gateways, guarded(g))
	}
	out.Kinds = p.source.kinds()
	return out
}

func (p parts) certificateStatus(o serveOptions) report.CertificateStatus {
	out := report.CertificateStatus{
		Mode: o.certificateMode(), NotBefore: known(notBefore(p.cert)), NotAfter: known(p.cert.NotAfter()),
	}
	if err := p.cert.Healthy(); err != nil {
		out.Problem = err.Error()
	}
	authorities, _ := cert.ParseCertsPEM(p.cert.CABundle()) // there may be none yet
	for _, a := range authorities {
		out.Authorities = append(out.Authorities, report.AuthorityStatus{
			SHA256: fmt.Sprintf("%x", sha256.Sum256(a.Raw)), NotBefore: a.NotBefore.UTC(), NotAfter: a.NotAfter.UTC(),
		})
	}
	return out
}

// certificateMode says where the serving certificate comes from.
func (o serveOptions) certificateMode() string {
	switch {
	case o.managed.on:
		return "self-managed"
	case o.selfSigned:
		return "self-signed in memory"
	}
	return "files in " + o.certDir
}

// known is a time, or nil if it is not known.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// configurationStatus tells of the configuration in force.
func (r *reloader) configurationStatus() report.ConfigurationStatus {
	cfg, status := r.Engine().Config(), r.status.Load()
	return report.ConfigurationStatus{
		File: r.path, SHA256: status.sha256, Loaded: status.loaded.UTC(), Problem: status.problem,
		Openings: rules.Openings(cfg), Expired: cfg.Expired(), NextExpiry: known(cfg.NextExpiry()),
	}
}

func (p parts) auditStatus(o serveOptions) report.AuditStatus {
	out := report.AuditStatus{Interval: report.Duration(o.auditInterval)}
	last := p.recorder.LastAudit()
	if last == nil {
		return out
	}
	out.Ended, out.Took, out.Gaps = known(last.Ended), report.Duration(last.Took), last.Gaps
	out.Findings = map[string]int{}
	for found, n := range last.Findings {
		out.Findings[found.Effect] += n
	}
	return out
}

// guarded tells of one guarded gateway as it stands.
func guarded(g *policy.Guard) report.GatewayStatus {
	out := report.GatewayStatus{
		Name: g.Name, Namespace: g.Namespace, Sharing: string(g.Sharing),
		Gateways: []string{}, Pods: []report.PodsStatus{},
	}
	live := map[string]bool{}
	for _, gw := range g.Live() {
		live[gw.Name] = true
	}
	for _, name := range g.Gateways {
		if live[name] {
			out.Gateways = append(out.Gateways, name)
		} else {
			out.Missing = append(out.Missing, name)
		}
	}
	for _, pods := range g.Pods {
		p := report.PodsStatus{Labels: pods.Labels, Running: pods.Running, Servers: []report.ServerStatus{}}
		for i := range pods.Servers {
			s := &pods.Servers[i]
			server := report.ServerStatus{
				Gateway: s.Gateway.Name, Assumed: !live[s.Gateway.Name],
				Port: s.Port, Ports: append([]uint32{}, s.Ports...), Protocol: s.Protocol, Hosts: append([]string{}, s.Server.Hosts...),
			}
			if s.TLS != nil {
				server.TLSMode = s.TLS.Mode
			}
			p.Servers = append(p.Servers, server)
		}
		out.Pods = append(out.Pods, p)
	}
	return out
}

// name tells where the state comes from. Whatever is secret in an address is left out.
func (s *stateSource) name() string {
	if s.cluster == nil {
		return "manifests"
	}
	address, err := url.Parse(s.client.Host)
	if err != nil || address.Host == "" {
		return "a cluster"
	}
	return (&url.URL{Scheme: address.Scheme, Host: address.Host, Path: address.Path}).String()
}

// kinds tells what is known of every kind.
func (s *stateSource) kinds() []report.KindStatus {
	counts := s.count()
	watched := map[resource.Kind]report.KindStatus{}
	if s.cluster != nil {
		for _, w := range s.cluster.Watched() {
			k := report.KindStatus{
				Resource: w.Resource, Current: w.Current, Listed: known(w.Listed), Heard: known(w.Heard), Lost: report.Duration(w.Lost),
			}
			if w.Problem != nil {
				k.Problem = w.Problem.Error()
			}
			watched[w.Kind] = k
		}
	}
	out := make([]report.KindStatus, 0, len(resource.APIs))
	for _, api := range resource.APIs {
		k := watched[api.Kind]
		k.Kind, k.Objects = api.Kind, counts[api.Kind]
		if s.cluster == nil {
			k.Current = true
		}
		out = append(out, k)
	}
	return out
}

// statusHandler serves the status of a server that starts now.
func (p parts) statusHandler(o serveOptions) http.Handler {
	started := time.Now()
	return serveStatus(func() report.Status { return p.status(o, started) })
}

// serveStatus serves a status as text, or as JSON to whoever asks for that.
func serveStatus(status func() report.Status) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method "+r.Method+" is not allowed: use GET", http.StatusMethodNotAllowed)
			return
		}
		write, contentType := report.StatusText, "text/plain; charset=utf-8"
		switch format := r.URL.Query().Get("format"); {
		case format == "json", format == "" && prefersJSON(r.Header.Get("Accept")):
			write, contentType = report.StatusJSON, "application/json"
		case format != "" && format != "text":
			http.Error(w, fmt.Sprintf("format %q: use text or json", format), http.StatusBadRequest)
			return
		}
		var body bytes.Buffer
		if err := write(&body, status()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Vary", "Accept")
		w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
		_, _ = w.Write(body.Bytes()) // else nobody is left to be told
	})
}

// prefersJSON reports whether the first media type of an Accept header that is known is JSON's.
func prefersJSON(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		mediaType, _, _ := strings.Cut(part, ";")
		switch strings.ToLower(strings.TrimSpace(mediaType)) {
		case "application/json":
			return true
		case "text/plain", "text/*", "text/html":
			return false
		}
	}
	return false
}
