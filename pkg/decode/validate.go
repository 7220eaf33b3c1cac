package decode

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// The lengths that Istio accepts: labels.DNS1123LabelMaxLength in pkg/config/labels, and
// CheckDNS1123Preconditions in pkg/config/validation/agent/validation.go. The latter
// counts 255, where DNS itself has room for 253.
const (
	maxLabel = 63
	maxHost  = 255
)

// unixPrefix marks a bind address that is a socket in the file system. Such a server has
// port 0: validateServerPort in Istio's pkg/config/validation/validation.go.
const unixPrefix = "unix://"

// fault makes an Error. The path of the field is put together only here, because nearly
// every object is right.
func fault(why, path string, indices ...any) *Error {
	return &Error{Field: fmt.Sprintf(path, indices...), Detail: why}
}

// The functions below say what is wrong with a value and how to fix it, or "".

// wrongPort refuses a number that no listener can have.
func wrongPort(number portNumber) string {
	if number >= 1 && number <= 65535 {
		return ""
	}
	return fmt.Sprintf("%d is no port; use a number from 1 to 65535", number)
}

// wrongGatewayHost refuses a host of a Gateway's server that Istio refuses
// (ValidateNamespaceSlashWildcardHostname in pkg/config/validation/agent/validation.go).
// Two things that only some Istio accept are accepted: "*" at the start of a longer
// label, as in "*-a.example.com" (refused by ValidatePartialWildCard of newer releases),
// and the namespace "~" (refused except on what Istio makes of the Gateway API).
func wrongGatewayHost(host string) string {
	namespace, name, prefixed := strings.Cut(host, "/")
	if !prefixed {
		name = host
	} else if namespace != "*" && namespace != "." && namespace != "~" && !isLabel(namespace) {
		return fmt.Sprintf(`host %q has %q before the "/", which is no namespace; `+
			`use the name of a namespace, "." for the Gateway's own, or "*" for any`, host, namespace)
	}
	if why := wrongHost(name); why != "" && !isIP(name) {
		return fmt.Sprintf("host %q %s", host, why)
	}
	if name != "*" && !strings.Contains(name, ".") {
		// An IPv6 address runs into the same check of Istio's, and has no other way.
		return fmt.Sprintf(`host %q has no dot, and Istio refuses short names in a Gateway; `+
			`write the fully qualified name, for example "app.example.com"`, host)
	}
	return ""
}

// wrongVirtualServiceHost refuses a host that Istio refuses in a VirtualService: what is
// neither a host name, short names included, nor an IP address. The SNI names that Istio
// generates for AUTO_PASSTHROUGH ("outbound_.80_._.a.b") have underscores and are
// accepted (ValidateWildcardDomainForVirtualServiceBoundToGateway, same file).
func wrongVirtualServiceHost(host string) string {
	why := wrongHost(host)
	if why == "" || strings.HasPrefix(host, "outbound_") || isIP(host) {
		return ""
	}
	if strings.Contains(host, "/") {
		why = `has a "/"; a VirtualService names hosts without a namespace, for example "app.example.com"`
	}
	return fmt.Sprintf("host %q %s", host, why)
}

// wrongHost says why a name is none that Istio accepts, or "". It decides as
// ValidateWildcardDomain in pkg/config/validation/agent/validation.go does, with its
// peculiarities: letters of either case, "*" alone or before the first label, one dot at
// the end, and no number as the last label but the first.
func wrongHost(name string) string {
	if name == "" {
		return `has no name; write a host name, or "*" for every host`
	}
	if len(name) > maxHost {
		return fmt.Sprintf("is %d characters long; a host name has at most %d", len(name), maxHost)
	}
	first, rest, more := strings.Cut(name, ".")
	if !isWildcardLabel(first) {
		return badLabel(first)
	}
	if !more {
		return ""
	}
	labels := strings.Split(rest, ".")
	last := len(labels) - 1
	if _, err := strconv.Atoi(labels[last]); err == nil {
		return fmt.Sprintf("ends in the number %q, which no domain does; complete the name", labels[last])
	}
	for i, l := range labels {
		if i == last && l == "" {
			break
		}
		if !isLabel(l) {
			return badLabel(l)
		}
	}
	return ""
}

// badLabel explains a label that is not accepted.
func badLabel(label string) string {
	switch {
	case label == "":
		return "has an empty label; remove the extra dot"
	case len(label) > maxLabel:
		return fmt.Sprintf("has the label %q of %d characters; a label has at most %d", label, len(label), maxLabel)
	}
	return fmt.Sprintf(`is no host name because of %q; use letters, digits and inner hyphens, and "*" only at its start`, label)
}

// isLabel is IsDNS1123Label of Istio's pkg/config/labels, which unlike Kubernetes takes
// upper case letters.
func isLabel(s string) bool {
	if s == "" || len(s) > maxLabel || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// isWildcardLabel is IsWildcardDNS1123Label of Istio's pkg/config/labels: a label, "*",
// or a label after "*" or "*-".
func isWildcardLabel(s string) bool {
	if s == "*" {
		return true
	}
	if len(s) > maxLabel {
		return false
	}
	if after, ok := strings.CutPrefix(s, "*"); ok {
		return isLabel(strings.TrimPrefix(after, "-"))
	}
	return isLabel(s)
}

// isIP is IsValidIPAddress of Istio's pkg/util/net.
func isIP(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}
