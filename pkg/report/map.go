package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Map is who owns what on guarded gateways.
type Map struct {
	Gateways []*policy.Map
	// Undated are the objects that do not tell when they were created.
	Undated map[resource.Key]bool
	// Notes are sentences about what the map was made from.
	Notes []string
}

// mapDocument is the JSON form of a Map. Programs read it: fields are added, never renamed or
// removed.
type mapDocument struct {
	Gateways []mappedGateway `json:"gateways"`
	Notes    []string        `json:"notes,omitempty"`
}

type mappedGateway struct {
	Name      string              `json:"name"`
	Namespace string              `json:"namespace"`
	PodLabels []map[string]string `json:"podLabels"`
	// Missing are the owner's Gateways that do not exist.
	Missing   []string         `json:"missing,omitempty"`
	Listeners []mappedListener `json:"listeners"`
	LeftOut   []mappedServer   `json:"leftOut,omitempty"`
}

type mappedListener struct {
	Name        string         `json:"name"`
	Port        uint32         `json:"port"`
	Family      string         `json:"family"`
	Refused     []string       `json:"refused,omitempty"`
	Servers     []mappedServer `json:"servers"`
	ServerNames []mappedName   `json:"serverNames"`
	RouteTables []mappedTable  `json:"routeTables"`
}

// mappedObject is the place of an entry: whose it is, and where it is written.
type mappedObject struct {
	// Owner is the name of the guarded gateway for what is its owner's, and the namespace of the
	// object for what is a tenant's.
	Owner     string        `json:"owner"`
	Tenant    bool          `json:"tenant"`
	Kind      resource.Kind `json:"kind"`
	Namespace string        `json:"namespace"`
	Name      string        `json:"name"`
	Field     string        `json:"field"`
	Created   *time.Time    `json:"created,omitempty"`
}

func (o mappedObject) String() string {
	return clean(resource.Key{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}.String())
}

type mappedServer struct {
	mappedObject
	Protocol    string             `json:"protocol,omitempty"`
	TLSMode     string             `json:"tlsMode,omitempty"`
	Port        uint32             `json:"port,omitempty"`
	Hosts       []string           `json:"hosts,omitempty"`
	Dropped     string             `json:"dropped,omitempty"`
	Connections []mappedConnection `json:"connections,omitempty"`
}

type mappedConnection struct {
	mappedObject
	ServerNames []string `json:"serverNames,omitempty"`
	To          []string `json:"to"`
	Dropped     string   `json:"dropped,omitempty"`
}

type mappedName struct {
	Name string `json:"name"`
	mappedObject
	RouteTable string            `json:"routeTable,omitempty"`
	Connection *mappedConnection `json:"connection,omitempty"`
}

type mappedTable struct {
	Name         string       `json:"name"`
	VirtualHosts []mappedHost `json:"virtualHosts"`
}

type mappedHost struct {
	Host     string        `json:"host"`
	Redirect *mappedObject `json:"redirect,omitempty"`
	Routes   []mappedRoute `json:"routes"`
}

type mappedRoute struct {
	// Place is that in the proxy's order, counted from 1; 0 for a route that the proxy does not
	// get.
	Place int `json:"place"`
	mappedObject
	// HandedOverBy is the route by which a VirtualService without hosts gets its requests.
	HandedOverBy *mappedObject `json:"handedOverBy,omitempty"`
	RouteName    string        `json:"routeName,omitempty"`
	Match        mappedMatch   `json:"match"`
	To           []string      `json:"to"`
	// Sorted is true where Istio sorts by how narrow routes are, so that the place is not exact.
	Sorted bool `json:"sorted,omitempty"`
	// Last is true for a route that was put behind the others, as it is for every path.
	Last bool `json:"last,omitempty"`
	// ShadowedBy is the place of the route that takes everything before this one.
	ShadowedBy int    `json:"shadowedBy,omitempty"`
	Dropped    string `json:"dropped,omitempty"`
}

type mappedMatch struct {
	Exact       string `json:"exact,omitempty"`
	Prefix      string `json:"prefix,omitempty"`
	Regex       string `json:"regex,omitempty"`
	IgnoreCase  bool   `json:"ignoreCase,omitempty"`
	Conditioned bool   `json:"conditioned,omitempty"`
}

func (m mappedMatch) String() string {
	s := "any path"
	switch {
	case m.Exact != "":
		s = "exact " + m.Exact
	case m.Prefix != "":
		s = "prefix " + m.Prefix
	case m.Regex != "":
		s = "regex " + m.Regex
	}
	if m.IgnoreCase {
		s += ", any case"
	}
	if m.Conditioned {
		s += ", on conditions"
	}
	return clean(s)
}

// MapJSON writes a map as one indented JSON document. Lists that are always there are never null.
func MapJSON(w io.Writer, m Map) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(m.document())
}

func (m Map) document() mapDocument {
	doc := mapDocument{Gateways: make([]mappedGateway, 0, len(m.Gateways)), Notes: m.Notes}
	for _, g := range m.Gateways {
		doc.Gateways = append(doc.Gateways, mapping{m, g}.gateway())
	}
	return doc
}

// mapping makes the JSON form of one gateway.
type mapping struct {
	Map
	of *policy.Map
}

func (m mapping) object(o resource.Object, field string) mappedObject {
	k := o.Key()
	out := mappedObject{Owner: m.of.Guard.Name, Kind: k.Kind, Namespace: k.Namespace, Name: k.Name, Field: field}
	if !m.of.Guard.IsOwners(k) {
		out.Owner, out.Tenant = k.Namespace, true
	}
	if created := o.GetMeta().Created; !created.IsZero() && !m.Undated[k] {
		created = created.UTC()
		out.Created = &created
	}
	return out
}

func (m mapping) gateway() mappedGateway {
	out := mappedGateway{Name: m.of.Guard.Name, Namespace: m.of.Guard.Namespace, Listeners: make([]mappedListener, 0, len(m.of.Listeners))}
	for _, p := range m.of.Pods {
		out.PodLabels = append(out.PodLabels, p.Labels)
	}
	for _, k := range m.of.Missing {
		out.Missing = append(out.Missing, k.Namespace+"/"+k.Name)
	}
	for _, l := range m.of.Listeners {
		out.Listeners = append(out.Listeners, m.listener(l))
	}
	for _, l := range m.of.LeftOut {
		out.LeftOut = append(out.LeftOut, mappedServer{mappedObject: m.object(l.Gateway, l.Field), Dropped: l.Why})
	}
	return out
}

func (m mapping) listener(l *policy.Listener) mappedListener {
	out := mappedListener{
		Name: l.Name, Port: l.Port, Family: l.Family().String(), Refused: l.Refused,
		Servers:     make([]mappedServer, 0, len(l.Servers)),
		ServerNames: []mappedName{},
		RouteTables: make([]mappedTable, 0, len(l.Routes)),
	}
	for _, s := range l.Servers {
		server := mappedServer{
			mappedObject: m.object(s.In, s.Where()), Protocol: s.Protocol, Port: s.Server.Port, Dropped: s.Dropped,
		}
		if s.TLS != nil && s.Family == policy.TLS {
			server.TLSMode = s.TLS.Mode
		}
		for _, h := range s.Hosts {
			server.Hosts = append(server.Hosts, h.Key)
		}
		for _, c := range s.Connections {
			server.Connections = append(server.Connections, m.connection(c))
		}
		out.Servers = append(out.Servers, server)
	}
	for _, n := range l.Names() {
		name := mappedName{Name: string(n.Name), mappedObject: m.object(n.Servers[0].In, n.Servers[0].Where())}
		if n.Routes != nil {
			name.RouteTable = n.Routes.Name
		}
		if n.Connection != nil {
			c := m.connection(n.Connection)
			name.Connection = &c
		}
		out.ServerNames = append(out.ServerNames, name)
	}
	for _, t := range l.Routes {
		out.RouteTables = append(out.RouteTables, m.table(t))
	}
	return out
}

func (m mapping) connection(c *policy.Connection) mappedConnection {
	out := mappedConnection{mappedObject: m.object(c.Route, c.Field), To: append([]string{}, c.To...), Dropped: c.Dropped}
	for _, n := range c.Names {
		out.ServerNames = append(out.ServerNames, string(n))
	}
	return out
}

func (m mapping) table(t *policy.RouteTable) mappedTable {
	out := mappedTable{Name: t.Name, VirtualHosts: make([]mappedHost, 0, len(t.Hosts))}
	for _, h := range t.Hosts {
		host := mappedHost{Host: string(h.Host), Routes: make([]mappedRoute, 0, len(h.Routes))}
		if h.Redirect != nil {
			o := m.object(h.Redirect.In, h.Redirect.Where())
			host.Redirect = &o
		}
		places := map[*policy.HostedRoute]int{}
		for _, r := range h.Routes {
			if r.Unreached == "" {
				places[r] = len(places) + 1
			}
			host.Routes = append(host.Routes, m.route(r, places))
		}
		out.VirtualHosts = append(out.VirtualHosts, host)
	}
	return out
}

func (m mapping) route(r *policy.HostedRoute, places map[*policy.HostedRoute]int) mappedRoute {
	out := mappedRoute{
		Place: places[r], mappedObject: m.object(r.Object, r.Field), RouteName: r.Name,
		Match: mappedMatch{IgnoreCase: r.Match.IgnoreURICase, Conditioned: r.Match.Conditioned},
		To:    append([]string{}, r.To...), Sorted: r.Sorted, Last: r.Last, ShadowedBy: places[r.ShadowedBy], Dropped: r.Unreached,
	}
	switch u := r.Match.URI; u.Type {
	case resource.MatchExact:
		out.Match.Exact = u.Value
	case resource.MatchPrefix:
		out.Match.Prefix = u.Value
	case resource.MatchRegex:
		out.Match.Regex = u.Value
	}
	if r.Root != nil {
		o := m.object(r.Root, r.RootField)
		out.HandedOverBy = &o
	}
	return out
}

// MapText writes a map for people: what is first is what the proxy looks at first.
func MapText(w io.Writer, m Map, opts TextOptions) error {
	t := &text{color: opts.Color}
	for i, g := range m.document().Gateways {
		if i > 0 {
			t.line("")
		}
		t.gateway(g)
	}
	if m.anySorted() {
		t.line("%s: ~ is before routes that Istio sorts by how narrow they are, those of Ingresses and of the Gateway API: their place is not exact", t.effect(policy.Note))
	}
	for _, n := range m.Notes {
		t.line("%s: %s", t.effect(policy.Note), clean(n))
	}
	_, err := w.Write(t.Bytes())
	return err
}

// anySorted reports whether the place of any route is not exact.
func (m Map) anySorted() bool {
	for _, g := range m.Gateways {
		for _, l := range g.Listeners {
			for _, table := range l.Routes {
				for _, h := range table.Hosts {
					if slices.ContainsFunc(h.Routes, func(r *policy.HostedRoute) bool { return r.Sorted }) {
						return true
					}
				}
			}
		}
	}
	return false
}

func (t *text) gateway(g mappedGateway) {
	t.line("%s", t.paint(bold, clean(fmt.Sprintf("%s, namespace %s", g.Name, g.Namespace))))
	for _, l := range g.PodLabels {
		t.line("  pods %s", clean(labels(l)))
	}
	for _, name := range g.Missing {
		t.line("  %s: the owner's Gateway %s is not there", t.effect(policy.Note), clean(name))
	}
	for _, l := range g.Listeners {
		t.line("")
		t.listener(l)
	}
	if len(g.LeftOut) > 0 {
		t.line("")
		t.line("left out")
		t.rows("  ", g.servers(g.LeftOut))
	}
}

func labels(l map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(l)) {
		out = append(out, k+"="+l[k])
	}
	return strings.Join(out, ",")
}

// row is a line of columns, and what is wrong with it, in a colour.
type row struct {
	cells []string
	color string
}

// rows writes lines with their columns aligned. Colours are put on whole lines, so that what a
// terminal does not show is not counted.
func (t *text) rows(indent string, rows []row) {
	var b bytes.Buffer
	tab := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(tab, strings.Join(r.cells, "\t"))
	}
	_ = tab.Flush() // to memory
	for i, line := range strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n") {
		line = strings.TrimRight(line, " ")
		if rows[i].color != "" {
			line = t.paint(rows[i].color, line)
		}
		t.line("%s%s", indent, line)
	}
}

func (o mappedObject) owner() string {
	if o.Tenant {
		return "tenant " + clean(o.Owner)
	}
	return clean(o.Owner)
}

// remarks joins what is to be said at the end of a row: when its object was created, and the rest.
func (o mappedObject) remarks(more ...string) string {
	if o.Created != nil {
		more = append([]string{"since " + o.Created.Format(time.RFC3339)}, more...)
	}
	more = slices.DeleteFunc(more, func(s string) bool { return s == "" })
	for i := range more {
		more[i] = clean(more[i])
	}
	return strings.Join(more, "; ")
}

// dropped is the remark and the colour of what is not served.
func dropped(why string) (remark, color string) {
	if why == "" {
		return "", ""
	}
	return "DROPPED: " + why, red
}

func (mappedGateway) servers(servers []mappedServer) []row {
	var out []row
	for _, s := range servers {
		protocol := s.Protocol
		if s.Port != 0 {
			protocol = fmt.Sprintf("%s %d", s.Protocol, s.Port)
		}
		if s.TLSMode != "" && s.TLSMode != "SIMPLE" {
			protocol += " " + s.TLSMode
		}
		remark, color := dropped(s.Dropped)
		first, rest := "", []string(nil)
		if len(s.Hosts) > 0 {
			first, rest = s.Hosts[0], s.Hosts[1:]
		}
		out = append(out, row{[]string{s.owner(), s.String(), clean(s.Field), clean(protocol), clean(first), s.remarks(remark)}, color})
		for _, h := range rest {
			out = append(out, row{[]string{"", "", "", "", clean(h)}, color})
		}
		for _, c := range s.Connections {
			remark, color := dropped(c.Dropped)
			out = append(out, row{[]string{"  " + c.owner(), c.String(), clean(c.Field), "", clean(strings.Join(c.ServerNames, " ")), c.remarks(remark)}, color})
		}
	}
	return out
}

func (t *text) listener(l mappedListener) {
	t.line("%s %s", t.paint(bold, clean(l.Name)), l.Family)
	for _, why := range l.Refused {
		t.line("  %s: the proxy refuses the whole listener: %s", t.paint(red, "REFUSED"), clean(why))
	}
	automatic := func(s mappedServer) bool { return s.TLSMode == "AUTO_PASSTHROUGH" && s.Dropped == "" }
	switch {
	case slices.ContainsFunc(l.Servers, automatic):
		t.line("  %s: AUTO_PASSTHROUGH serves the names that Istio gives to Services, which are not listed", t.effect(policy.Note))
	case len(l.ServerNames) == 0:
		t.line("  %s: nothing is served: no server has a route", t.effect(policy.Note))
	}
	t.line("  servers, as they are merged")
	t.rows("    ", mappedGateway{}.servers(l.Servers))
	if len(l.ServerNames) > 1 || len(l.ServerNames) == 1 && l.ServerNames[0].Name != "*" {
		t.line("  server names")
		var rows []row
		for _, n := range l.ServerNames {
			to := n.RouteTable
			if n.Connection != nil {
				to = n.Connection.String() + " " + n.Connection.Field
			}
			rows = append(rows, row{cells: []string{clean(n.Name), n.owner(), n.String(), clean(n.Field), "-> " + clean(to)}})
		}
		t.rows("    ", rows)
	}
	for _, table := range l.RouteTables {
		t.line("  routes %s", clean(table.Name))
		t.hosts(table.VirtualHosts)
	}
}

// hosts writes virtual hosts, those with the same routes at once, as Istio does
// (collapseDuplicateRoutes in istio.io/istio pilot/pkg/networking/core/gateway.go).
func (t *text) hosts(hosts []mappedHost) {
	var names []string
	for i, h := range hosts {
		names = append(names, t.paint(bold, clean(h.Host)))
		if i+1 < len(hosts) && reflect.DeepEqual(h.Routes, hosts[i+1].Routes) && reflect.DeepEqual(h.Redirect, hosts[i+1].Redirect) {
			continue
		}
		t.line("    %s", strings.Join(names, ", "))
		names = nil
		if r := h.Redirect; r != nil {
			t.line("      every request in plain text is redirected to HTTPS by %s %s (%s)", r, clean(r.Field), r.owner())
		}
		if len(h.Routes) > 0 {
			t.rows("      ", routeRows(h.Routes))
		}
	}
	if len(hosts) == 0 {
		t.line("    none: every request is answered with 404")
	}
}

func routeRows(routes []mappedRoute) []row {
	var out []row
	for _, r := range routes {
		place := "-"
		if r.Place > 0 {
			place = strconv.Itoa(r.Place)
		}
		if r.Sorted {
			place = "~" + place
		}
		var name, by, last string
		if r.RouteName != "" {
			name = "name " + r.RouteName
		}
		if r.HandedOverBy != nil {
			by = fmt.Sprintf("handed over by %s %s", r.HandedOverBy, r.HandedOverBy.Field)
		}
		if r.Last {
			last = "put last"
		}
		remark, color := dropped(r.Dropped)
		if r.ShadowedBy > 0 {
			remark, color = fmt.Sprintf("SHADOWED by %d", r.ShadowedBy), yellow
		}
		out = append(out, row{[]string{place, r.Match.String(), r.owner(), r.String(), clean(r.Field), r.remarks(name, by, last, remark)}, color})
	}
	return out
}
