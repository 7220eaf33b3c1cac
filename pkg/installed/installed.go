// Package installed reads from a cluster what a gateway is at the moment: its Gateways, the
// workloads whose pods serve them, and the Services before those. It only lists, and says in
// one line what it was not permitted to list.
package installed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Gateway is a gateway as it is installed.
type Gateway struct {
	Namespace string
	// Gateways are those that were asked for and exist, in the order of their names.
	Gateways []*resource.Gateway
	// Workloads have pods in Namespace that serve the first of Gateways, and Services select
	// those pods.
	Workloads []*resource.Workload
	Services  []*resource.Service
	// Routes are the VirtualServices of Namespace that name one of Gateways.
	Routes []*resource.VirtualService
}

// pageSize is how many objects are asked for at once.
const pageSize = 500

// kinds are what is listed. Without the first there is nothing to look for.
var kinds = []resource.Kind{
	resource.KindGateway, resource.KindService, resource.KindVirtualService,
	resource.KindDeployment, resource.KindDaemonSet, resource.KindStatefulSet,
}

// Find looks for the Gateways with the names in a namespace, and for what is around them.
func Find(ctx context.Context, d dynamic.Interface, namespace string, names []string) (*Gateway, error) {
	g := &Gateway{Namespace: namespace}
	var forbidden []string
	found := map[resource.Kind][]resource.Object{}
	for _, kind := range kinds {
		api := resource.ByKind(kind)
		objects, err := list(ctx, d, api, namespace)
		switch {
		case apierrors.IsForbidden(err):
			forbidden = append(forbidden, schema.GroupResource{Group: api.Group, Resource: api.Resource}.String())
		case apierrors.IsNotFound(err):
			return nil, fmt.Errorf("the cluster has no %s.%s: Istio is not installed there, or not its CustomResourceDefinitions; install it first, or name another cluster", api.Resource, api.Group)
		case apierrors.IsUnauthorized(err):
			return nil, fmt.Errorf("the cluster does not know the user: renew the credentials (%w)", err)
		case err != nil:
			return nil, fmt.Errorf("the cluster can not be asked for %s: %w", api.Resource, err)
		}
		found[kind] = objects
	}
	if len(forbidden) > 0 {
		return nil, fmt.Errorf("namespace %s: the user may not list %s: permit the verb list on them", namespace, strings.Join(forbidden, ", "))
	}
	for _, name := range names {
		for _, o := range found[resource.KindGateway] {
			if gw := o.(*resource.Gateway); gw.Name == name {
				g.Gateways = append(g.Gateways, gw)
			}
		}
	}
	if len(g.Gateways) == 0 {
		return nil, fmt.Errorf("namespace %s has no Gateway %s; it has %s", namespace, strings.Join(names, " or "), namesOf(found[resource.KindGateway]))
	}
	g.around(found)
	return g, nil
}

// around finds what belongs to the Gateways.
func (g *Gateway) around(found map[resource.Kind][]resource.Object) {
	selector := g.Gateways[0].Selector
	for _, kind := range []resource.Kind{resource.KindDeployment, resource.KindDaemonSet, resource.KindStatefulSet} {
		for _, o := range found[kind] {
			if w := o.(*resource.Workload); len(selector) > 0 && resource.Selects(selector, w.Pod.Labels) {
				g.Workloads = append(g.Workloads, w)
			}
		}
	}
	for _, o := range found[resource.KindService] {
		s := o.(*resource.Service)
		if len(s.Selector) > 0 && slices.ContainsFunc(g.Workloads, func(w *resource.Workload) bool { return resource.Selects(s.Selector, w.Pod.Labels) }) {
			g.Services = append(g.Services, s)
		}
	}
	for _, o := range found[resource.KindVirtualService] {
		v := o.(*resource.VirtualService)
		if slices.ContainsFunc(g.Gateways, func(gw *resource.Gateway) bool {
			return slices.Contains(v.Gateways, gw.Name) || slices.Contains(v.Gateways, gw.Namespace+"/"+gw.Name)
		}) {
			g.Routes = append(g.Routes, v)
		}
	}
}

// list lists the objects of a kind in a namespace, in the first version that is served. An
// object that gatewarden can not read is an error that names it.
func list(ctx context.Context, d dynamic.Interface, api resource.API, namespace string) ([]resource.Object, error) {
	var err error
	for _, version := range api.Versions {
		client := d.Resource(schema.GroupVersionResource{Group: api.Group, Version: version, Resource: api.Resource}).Namespace(namespace)
		var out []resource.Object
		o := metav1.ListOptions{Limit: pageSize}
		for {
			page, listErr := client.List(ctx, o)
			if err = listErr; err != nil {
				break
			}
			for i := range page.Items {
				raw, marshalErr := json.Marshal(page.Items[i].Object)
				if marshalErr != nil {
					return nil, marshalErr
				}
				object, decodeErr := decode.Object(api, raw)
				if decodeErr != nil {
					return nil, fmt.Errorf("%s %s/%s: %w", api.Kind, namespace, page.Items[i].GetName(), decodeErr)
				}
				out = append(out, object)
			}
			if o.Continue = page.GetContinue(); o.Continue == "" {
				return out, nil
			}
		}
		if !apierrors.IsNotFound(err) {
			return nil, err
		}
	}
	return nil, err
}

func namesOf(objects []resource.Object) string {
	if len(objects) == 0 {
		return "none"
	}
	var out []string
	for _, o := range objects {
		out = append(out, o.Key().Name)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// Difference is what a configuration has otherwise than the cluster.
type Difference struct {
	Field string // below the guarded gateway
	Text  string
}

// Update makes what a configuration says of the gateway what the cluster has, and returns
// what was different. What the cluster does not tell stays.
func (g *Gateway) Update(c *config.GuardedGateway) []Difference {
	var out []Difference
	differs := func(field, format string, args ...any) {
		out = append(out, Difference{field, fmt.Sprintf(format, args...)})
	}
	if have := g.Gateways[0]; have.Name != c.Gateways[0] {
		differs("gateways", "Gateway %s is not in the cluster, which has %s", c.Gateways[0], have.Name)
	}
	if s := g.Gateways[0].Selector; len(s) == 0 {
		differs("podLabels", "Gateway %s has no selector: every gateway of the mesh serves it", g.Gateways[0].Name)
	} else if !sameLabels(s, c.PodLabels) {
		differs("podLabels", "the values say %s, the Gateway selects %s", labels(c.PodLabels), labels(s))
		c.PodLabels = s
	}
	switch accounts := g.accounts(); {
	case len(g.Workloads) == 0:
		differs("podLabels", "no Deployment, DaemonSet or StatefulSet of namespace %s has pods with these labels", g.Namespace)
	case len(accounts) > 1:
		differs("serviceAccount", "the pods have several: %s", strings.Join(accounts, ", "))
	case accounts[0] != c.ServiceAccount:
		differs("serviceAccount", "the values say %q, the pods have %s", c.ServiceAccount, accounts[0])
		c.ServiceAccount = accounts[0]
	}
	if len(g.Workloads) > 0 && len(g.Services) == 0 {
		differs("servers", "no Service of namespace %s leads to the pods", g.Namespace)
	}
	for _, gw := range g.Gateways {
		was := servers(c.Servers, gw.Name)
		is := g.servers(gw)
		if was != nil && describe(was) != describe(is) {
			differs("servers", "the values say %s of Gateway %s, the cluster has %s", describe(was), gw.Name, describe(is))
		}
		c.Servers = append(slices.DeleteFunc(c.Servers, func(s config.Server) bool { return s.Gateway == gw.Name }), is...)
	}
	for _, s := range c.Servers {
		if !slices.ContainsFunc(g.Gateways, func(gw *resource.Gateway) bool { return gw.Name == s.Gateway }) {
			differs("servers", "Gateway %s of %s is not in the cluster", s.Gateway, describe([]config.Server{s}))
		}
	}
	return out
}

// accounts are the ServiceAccounts of the pods.
func (g *Gateway) accounts() []string {
	var out []string
	for _, w := range g.Workloads {
		account := w.Pod.ServiceAccount
		if account == "" {
			account = "default"
		}
		out = append(out, account)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func servers(all []config.Server, gateway string) []config.Server {
	var out []config.Server
	for _, s := range all {
		if s.Gateway == gateway {
			out = append(out, s)
		}
	}
	return out
}

// servers are those of a Gateway, and the Services' ports that lead to them.
func (g *Gateway) servers(gw *resource.Gateway) []config.Server {
	var out []config.Server
	for i := range gw.Servers {
		s := &gw.Servers[i]
		c := config.Server{Gateway: gw.Name, Port: s.Port, Protocol: s.Protocol, Hosts: s.Hosts, PublicPort: g.public(s.Port)}
		// A plain-text server's tls block can only redirect, and has no mode.
		if s.Family() == resource.TLS {
			c.TLSMode = s.TLS.Mode
		}
		out = append(out, c)
	}
	return out
}

// public is the Services' port that leads to a port of the pods, or zero if that is the same
// or not known.
func (g *Gateway) public(port uint32) uint32 {
	var out uint32
	for _, s := range g.Services {
		for _, p := range s.Ports {
			switch {
			case p.Port == port:
				return 0
			case p.TargetPort == port && out == 0:
				out = p.Port
			}
		}
	}
	return out
}

// describe writes servers so that two are equal exactly if they serve the same.
func describe(all []config.Server) string {
	var out []string
	for _, s := range all {
		port := fmt.Sprint(s.Port)
		if s.PublicPort != 0 {
			port = fmt.Sprintf("%d behind %d", s.Port, s.PublicPort)
		}
		out = append(out, fmt.Sprintf("%s on %s for %s", strings.TrimSpace(s.Protocol+" "+s.TLSMode), port, strings.Join(slices.Sorted(slices.Values(s.Hosts)), ", ")))
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

func sameLabels(a, b map[string]string) bool {
	return len(a) == len(b) && resource.Selects(a, b)
}

func labels(m map[string]string) string {
	var out []string
	for k, v := range m {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}

// Names are the names of the Gateways.
func (g *Gateway) Names() []string {
	var out []string
	for _, gw := range g.Gateways {
		out = append(out, gw.Name)
	}
	return out
}

// Guarded is the configuration of the gateway for somebody of whom nothing else is known. It
// fails for one that has no pods of its own beside it.
func (g *Gateway) Guarded() (config.GuardedGateway, error) {
	gw := g.Gateways[0]
	switch {
	case len(gw.Selector) == 0:
		return config.GuardedGateway{}, errors.New("the Gateway has no selector, so that every gateway of the mesh serves it; name one that selects its pods")
	case len(g.Workloads) == 0:
		return config.GuardedGateway{}, fmt.Errorf("no Deployment, DaemonSet or StatefulSet of namespace %s has pods with the labels %s that the Gateway selects: "+
			"gatewarden guards a gateway whose Gateways are in the namespace of its pods", g.Namespace, labels(gw.Selector))
	}
	c := config.GuardedGateway{
		Name: gw.Name, Namespace: g.Namespace, Gateways: []string{gw.Name}, Sharing: config.HostAware, PodLabels: gw.Selector,
	}
	g.Update(&c)
	own := func(k resource.Key) {
		c.OwnerObjects = append(c.OwnerObjects, config.ObjectPattern{Kind: k.Kind, Namespace: k.Namespace, Name: k.Name})
	}
	for _, r := range g.Routes {
		own(r.Key())
	}
	for _, s := range g.Services {
		own(s.Key())
	}
	for _, w := range g.Workloads {
		own(w.Key())
	}
	return c, nil
}
