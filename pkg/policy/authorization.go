package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// DryRun reports whether an AuthorizationPolicy is only evaluated and not enforced (isDryRun
// in istio.io/istio pilot/pkg/security/authz/builder/builder.go). One with the action CUSTOM
// calls its provider all the same.
func DryRun(a *resource.AuthorizationPolicy) bool {
	dry, err := strconv.ParseBool(a.Annotations["istio.io/dry-run"])
	return err == nil && dry && a.Action != "CUSTOM"
}

// MayMatch reports whether the rule can match requests for the guarded server. Ports are those
// that the proxy listens on. On a connection without HTTP routes a rule that denies is
// generated without its hosts (Generate in istio.io/istio
// pilot/pkg/security/authz/model/model.go), and so matches all.
func (g *Guard) MayMatch(r *resource.AuthorizationRule, s *Server) bool {
	if r.Identified && !identifies(s) || !asksFor(r, s) {
		return false
	}
	return len(r.To) == 0 || slices.ContainsFunc(r.To, func(o resource.AuthorizedOperation) bool {
		if !onPort(&o, s) {
			return false
		}
		if !ServesHTTP(s.Server) {
			return true
		}
		return (len(o.Hosts) == 0 || slices.ContainsFunc(s.Hosts, func(h hostname.Server) bool {
			return slices.ContainsFunc(o.Hosts, func(p string) bool { return g.matchesHost(p, h.Name) })
		})) && !coversHosts(o.NotHosts, s.Hosts)
	})
}

// identifies reports whether the server may know its clients by a certificate of the mesh: it
// asks for one. What it passes through it does not decipher.
func identifies(s *Server) bool {
	return s.TLS != nil && (s.TLS.Mode == "MUTUAL" || s.TLS.Mode == "ISTIO_MUTUAL" || s.TLS.Mode == "OPTIONAL_MUTUAL")
}

// asksFor reports whether a connection to the server can ask for a name as the rule wants. A
// pattern is a name, or the start or the end of one (StringMatcher in istio.io/istio
// pilot/pkg/security/authz/matcher/string.go).
func asksFor(r *resource.AuthorizationRule, s *Server) bool {
	if len(r.SNI) > 0 && (s.Family != TLS || !slices.ContainsFunc(s.Hosts, func(h hostname.Server) bool {
		return slices.ContainsFunc(r.SNI, func(p string) bool { return mayMeet(p, h.Name) })
	})) {
		return false
	}
	return s.Family != TLS || !coversHosts(r.NotSNI, s.Hosts)
}

// mayMeet reports whether a pattern can match any name that n stands for.
func mayMeet(pattern string, n hostname.Name) bool {
	if start, ok := strings.CutSuffix(pattern, "*"); ok && start != "" {
		return n.IsWildcard() || strings.HasPrefix(string(n), start)
	}
	return n.Overlaps(hostname.Parse(pattern))
}

// onPort reports whether the operation is for one of the server's listeners.
func onPort(o *resource.AuthorizedOperation, s *Server) bool {
	return (len(o.Ports) == 0 || slices.ContainsFunc(s.Ports, in(o.Ports))) &&
		(len(o.NotPorts) == 0 || slices.ContainsFunc(s.Ports, notIn(o.NotPorts)))
}

// MatchesAll reports whether the rule matches every request for the server.
func MatchesAll(r *resource.AuthorizationRule, s *Server) bool {
	if r.Conditioned {
		return false
	}
	return len(r.To) == 0 || slices.ContainsFunc(r.To, func(o resource.AuthorizedOperation) bool {
		return !o.Narrowed && len(o.NotHosts) == 0 &&
			(len(o.Ports) == 0 || !slices.ContainsFunc(s.Ports, notIn(o.Ports))) &&
			(len(o.NotPorts) == 0 || !slices.ContainsFunc(s.Ports, in(o.NotPorts))) &&
			(len(o.Hosts) == 0 || slices.Contains(o.Hosts, "*"))
	})
}

func in(ports []string) func(uint32) bool {
	return func(p uint32) bool { return slices.Contains(ports, fmt.Sprint(p)) }
}

func notIn(ports []string) func(uint32) bool {
	return func(p uint32) bool { return !slices.Contains(ports, fmt.Sprint(p)) }
}

// matchesHost reports whether a pattern of a rule's hosts can match requests for a guarded
// name: "*" alone, before or behind a text that is compared without its letter case
// (HostMatcher in istio.io/istio pilot/pkg/security/authz/matcher/header.go). The text may
// carry a port. Where the guarded name is "*", only what the owner uses is guarded.
func (g *Guard) matchesHost(pattern string, n hostname.Name) bool {
	host, _, _ := strings.Cut(strings.ToLower(pattern), ":")
	after, before := strings.CutPrefix(host, "*")
	switch {
	case after == "" && before:
		return true
	case before:
		text := strings.TrimPrefix(string(n), "*")
		return strings.HasSuffix(text, after) || n.IsWildcard() && strings.HasSuffix(after, text) && (n != hostname.Any || g.Uses(hostname.Parse(host)))
	case strings.HasSuffix(host, "*"):
		return n.IsWildcard() || strings.HasPrefix(string(n), strings.TrimSuffix(host, "*"))
	case n == hostname.Any:
		return g.Uses(hostname.Parse(host))
	}
	return n.Covers(hostname.Parse(host))
}

// coversHosts reports whether patterns name every one of a server's hosts.
func coversHosts(patterns []string, hosts []hostname.Server) bool {
	return len(patterns) > 0 && !slices.ContainsFunc(hosts, func(h hostname.Server) bool {
		return !slices.ContainsFunc(patterns, func(p string) bool {
			return p == "*" || hostname.Parse(p).Covers(h.Name)
		})
	})
}
