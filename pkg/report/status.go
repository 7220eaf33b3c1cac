package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Status is what a running gatewarden guards, and by what. Its JSON form is read by programs: fields
// are added, never renamed or removed. It holds no secret.
type Status struct {
	Version   string `json:"version"`
	Commit    string `json:"commit"`
	GoVersion string `json:"goVersion"`
	// Now is when the status was told.
	Now     time.Time `json:"now"`
	Started time.Time `json:"started"`
	// NotReady is why no request is judged; empty if they are.
	NotReady      string              `json:"notReady,omitempty"`
	State         StateStatus         `json:"state"`
	Certificate   CertificateStatus   `json:"certificate"`
	Configuration ConfigurationStatus `json:"configuration"`
	Audits        AuditStatus         `json:"audits"`
	Ledger        LedgerStatus        `json:"ledger"`
	// Leading tells whether this replica writes to the cluster; nil if it never does.
	Leading  *bool           `json:"leading,omitempty"`
	Gateways []GatewayStatus `json:"gateways"`
	Kinds    []KindStatus    `json:"kinds"`
}

// StateStatus tells what changes are judged against.
type StateStatus struct {
	// Source is where it comes from: the address of an API server, or manifests.
	Source     string `json:"source"`
	Synced     bool   `json:"synced"`
	Generation uint64 `json:"generation"`
	Objects    int    `json:"objects"`
}

// CertificateStatus tells of the serving certificate.
type CertificateStatus struct {
	Mode string `json:"mode"`
	// NotBefore and NotAfter are nil if there is none.
	NotBefore *time.Time `json:"notBefore,omitempty"`
	NotAfter  *time.Time `json:"notAfter,omitempty"`
	Problem   string     `json:"problem,omitempty"`
	// Authorities are the CAs that the webhook configurations have to trust, the one that signs now first,
	// as far as gatewarden knows them: those of files are their writer's.
	Authorities []AuthorityStatus `json:"authorities,omitempty"`
}

// AuthorityStatus tells of a CA.
type AuthorityStatus struct {
	// SHA256 is the fingerprint of its certificate.
	SHA256    string    `json:"sha256"`
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
}

// ConfigurationStatus tells of the configuration in force.
type ConfigurationStatus struct {
	// File is empty for the built-in one.
	File   string    `json:"file,omitempty"`
	SHA256 string    `json:"sha256,omitempty"`
	Loaded time.Time `json:"loaded"`
	// Problem is why what the file says now is not in force.
	Problem string `json:"problem,omitempty"`
	// Openings and Expired are what in it lets everything through, and what has no effect any more.
	Openings []string `json:"openings,omitempty"`
	Expired  []string `json:"expired,omitempty"`
	// NextExpiry is when the next exemption expires.
	NextExpiry *time.Time `json:"nextExpiry,omitempty"`
}

// AuditStatus tells of the audits.
type AuditStatus struct {
	// Interval is 0 for no audits.
	Interval Duration `json:"interval"`
	// Ended is when the last one ended; nil if none has.
	Ended *time.Time `json:"ended,omitempty"`
	Took  Duration   `json:"took"`
	// Findings are how many there were of each effect.
	Findings map[string]int `json:"findings,omitempty"`
	Gaps     int            `json:"gaps"`
}

// LedgerStatus tells of the changes that are on their way to be stored.
type LedgerStatus struct {
	// Where it is: cluster, memory or off.
	Where string `json:"where"`
	// OnTheirWay is how many this replica knows of.
	OnTheirWay int `json:"onTheirWay"`
}

// GatewayStatus tells of one guarded gateway as it stands.
type GatewayStatus struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Sharing   string `json:"sharing"`
	// Gateways are the owner's that exist, and Missing those that do not.
	Gateways []string     `json:"gateways"`
	Missing  []string     `json:"missing,omitempty"`
	Pods     []PodsStatus `json:"pods"`
}

// PodsStatus are pods of a guarded gateway that have the same labels, and what they serve.
type PodsStatus struct {
	Labels map[string]string `json:"labels"`
	// Running reports whether there are such pods, and not only a workload or a configuration.
	Running bool           `json:"running"`
	Servers []ServerStatus `json:"servers"`
}

// ServerStatus is a server of the owner's.
type ServerStatus struct {
	Gateway string `json:"gateway"`
	// Assumed reports whether the Gateway does not exist, and the configuration stands in for it.
	Assumed  bool     `json:"assumed,omitempty"`
	Port     uint32   `json:"port"`
	Ports    []uint32 `json:"ports"` // of the pods
	Protocol string   `json:"protocol"`
	TLSMode  string   `json:"tlsMode,omitempty"`
	Hosts    []string `json:"hosts"`
}

// KindStatus tells what is known of a kind.
type KindStatus struct {
	Kind    resource.Kind `json:"kind"`
	Objects int           `json:"objects"`
	// Resource is what is watched; empty for a kind that the cluster does not serve, and for
	// manifests.
	Resource string `json:"resource,omitempty"`
	// Current reports whether the objects are those that are stored.
	Current bool       `json:"current"`
	Listed  *time.Time `json:"listed,omitempty"`
	Heard   *time.Time `json:"heard,omitempty"`
	// Lost is how long it has not been watched.
	Lost    Duration `json:"lost"`
	Problem string   `json:"problem,omitempty"`
}

// Duration is shown as people write it, as in "1m30s".
type Duration time.Duration

// MarshalText writes a duration as people do.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (d *Duration) UnmarshalText(b []byte) error {
	parsed, err := time.ParseDuration(string(b))
	*d = Duration(parsed)
	return err
}

// String writes a duration as people do, in steps that are long enough to read.
func (d Duration) String() string {
	step := time.Second
	if x := time.Duration(d); x < time.Second {
		step = time.Millisecond
	}
	return time.Duration(d).Round(step).String()
}

// StatusJSON writes a status as JSON.
func StatusJSON(w io.Writer, s Status) error { return encode(w, s) }

// StatusText writes a status for people.
func StatusText(w io.Writer, s Status) error {
	t := &text{}
	t.line("gatewarden %s, commit %s, %s", clean(s.Version), clean(s.Commit), s.GoVersion)
	t.line("")
	t.rows("", s.overview())
	for _, g := range s.Gateways {
		t.line("")
		t.guarded(g)
	}
	t.line("")
	t.rows("", s.kinds())
	_, err := w.Write(t.Bytes())
	return err
}

// since tells a time and how long ago that was, or how long it is until then.
func (s Status) since(at time.Time) string {
	ago := s.Now.Sub(at)
	if ago < 0 {
		return fmt.Sprintf("%s, in %s", at.UTC().Format(time.RFC3339), Duration(-ago))
	}
	return fmt.Sprintf("%s, %s ago", at.UTC().Format(time.RFC3339), Duration(ago))
}

// overview are the lines about everything but gateways and kinds.
func (s Status) overview() []row {
	var out []row
	add := func(title, format string, args ...any) {
		out = append(out, row{cells: []string{title, clean(fmt.Sprintf(format, args...))}})
	}
	add("started", "%s", s.since(s.Started))
	if s.NotReady == "" {
		add("ready", "yes")
	} else {
		add("ready", "no: %s", s.NotReady)
	}
	synced := "complete"
	if !s.State.Synced {
		synced = "incomplete"
	}
	add("state", "%s, %s in generation %d, of %s", synced, plural(s.State.Objects, "object"), s.State.Generation, s.State.Source)
	if c := s.Certificate; c.NotAfter == nil {
		add("certificate", "%s: none", c.Mode)
	} else {
		add("certificate", "%s, expires %s", c.Mode, s.since(*c.NotAfter))
	}
	if s.Certificate.Problem != "" {
		add("", "problem: %s", s.Certificate.Problem)
	}
	for _, a := range s.Certificate.Authorities {
		add("", "CA sha256 %s, expires %s", a.SHA256, s.since(a.NotAfter))
	}
	c := s.Configuration
	if c.File == "" {
		add("configuration", "built-in")
	} else {
		add("configuration", "%s, read %s", c.File, s.since(c.Loaded))
		add("", "sha256 %s", c.SHA256)
	}
	if c.Problem != "" {
		add("", "not in force: %s", c.Problem)
	}
	for _, o := range c.Openings {
		add("", "opening: %s", o)
	}
	for _, e := range c.Expired {
		add("", "expired: %s", e)
	}
	if c.NextExpiry != nil {
		add("", "the next exemption expires %s", s.since(*c.NextExpiry))
	}
	a := s.Audits
	switch {
	case a.Interval == 0:
		add("audits", "none")
	case a.Ended == nil:
		add("audits", "every %s, none yet", a.Interval)
	default:
		add("audits", "every %s, the last ended %s, and took %s", a.Interval, s.since(*a.Ended), a.Took)
		add("", "%d deny, %d warn, %d note; %s", a.Findings["deny"], a.Findings["warn"], a.Findings["note"], plural(a.Gaps, "gap"))
	}
	if s.Ledger.Where == "off" {
		add("ledger", "off: two changes that conflict may be admitted at the same moment")
	} else {
		add("ledger", "%s, %s on the way", s.Ledger.Where, plural(s.Ledger.OnTheirWay, "change"))
	}
	switch {
	case s.Leading == nil:
	case *s.Leading:
		add("leading", "yes: this replica writes to the cluster")
	default:
		add("leading", "no: another one writes to the cluster")
	}
	return out
}

// guarded writes one guarded gateway.
func (t *text) guarded(g GatewayStatus) {
	t.line("guarded gateway %s in namespace %s, %s", clean(g.Name), clean(g.Namespace), g.Sharing)
	if len(g.Missing) > 0 {
		t.line("  missing: %s", clean(strings.Join(g.Missing, ", ")))
	}
	for _, p := range g.Pods {
		running := ", none running"
		if p.Running {
			running = ""
		}
		t.line("  pods %s%s", labels(p.Labels), running)
		var rows []row
		for _, server := range p.Servers {
			protocol := server.Protocol
			if server.TLSMode != "" {
				protocol += " " + server.TLSMode
			}
			assumed := ""
			if server.Assumed {
				assumed = "assumed"
			}
			var ports []string
			for _, port := range server.Ports {
				ports = append(ports, strconv.FormatUint(uint64(port), 10))
			}
			rows = append(rows, row{cells: []string{
				fmt.Sprintf("%d on %s", server.Port, strings.Join(ports, ",")), clean(protocol),
				clean(strings.Join(server.Hosts, " ")), clean(server.Gateway), assumed,
			}})
		}
		if len(rows) > 0 {
			t.rows("    ", rows)
		}
	}
}

// kinds are the lines about kinds.
func (s Status) kinds() []row {
	out := []row{{cells: []string{"KIND", "OBJECTS", "WATCHED AS", "LISTED", "HEARD OF", ""}}}
	ago := func(t *time.Time) string {
		if t == nil {
			return "-"
		}
		return Duration(s.Now.Sub(*t)).String() + " ago"
	}
	for _, k := range s.Kinds {
		watched, remark := k.Resource, ""
		if watched == "" {
			watched = "-"
		}
		if k.Lost > 0 {
			remark = "lost for " + k.Lost.String()
		}
		if k.Problem != "" {
			remark = strings.TrimPrefix(remark+": "+k.Problem, ": ")
		}
		out = append(out, row{cells: []string{
			string(k.Kind), strconv.Itoa(k.Objects), watched, ago(k.Listed), ago(k.Heard), clean(remark),
		}})
	}
	return out
}
