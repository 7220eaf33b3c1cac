package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/gatewarden/gatewarden/pkg/cluster"
	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/manifest"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
	"github.com/gatewarden/gatewarden/pkg/webhook"
	"github.com/gatewarden/gatewarden/test/apiserver"
)

// setUpUser makes the world before a story, and is exempt.
const setUpUser = "set-up@example.com"

const (
	pollInterval = 5 * time.Millisecond
	// pollTimeout is how long a change may take from the API server into the snapshot.
	pollTimeout = 30 * time.Second
)

// Server is a real API server with gatewarden before it. Gatewarden runs in this process,
// with what deploy/ gives it: its ServiceAccount's permissions and its webhook
// configurations. Stories are told one after another.
type Server struct {
	api    *apiserver.Server
	setUp  *apiserver.User
	writer *state.Writer
	engine atomic.Pointer[policy.Engine]
	stop   context.CancelFunc
	done   sync.WaitGroup
	failed chan error // of the webhook server

	base map[resource.Key]manifest.Document // what stays between stories
}

// StartServer starts an API server with an empty cluster. The caller has to Stop it.
func StartServer(ctx context.Context) (_ *Server, err error) {
	api, err := apiserver.Start(ctx, apiserver.Options{CertManager: true})
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := &Server{
		api: api, stop: stop, writer: state.NewWriter(), failed: make(chan error, 1),
		base: map[resource.Key]manifest.Document{},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	s.judgeBy(deploykf.Default())
	if s.setUp, err = api.User(setUpUser); err != nil {
		return nil, err
	}
	watched, err := s.watch(running)
	if err != nil {
		return nil, err
	}
	if err := s.serve(running, watched); err != nil {
		return nil, err
	}
	return s, api.Register(ctx)
}

// watch keeps the writer in step with the API server.
func (s *Server) watch(ctx context.Context) (*cluster.Cluster, error) {
	guard, err := s.api.GuardConfig(ctx)
	if err != nil {
		return nil, err
	}
	guard.QPS = -1 // no limit: a story would wait for it
	d, err := cluster.NewClient(guard)
	if err != nil {
		return nil, err
	}
	kinds, err := discovery.NewDiscoveryClientForConfig(guard)
	if err != nil {
		return nil, err
	}
	c := cluster.New(cluster.Options{Dynamic: d, Discovery: kinds, Writer: s.writer})
	s.done.Go(func() { c.Run(ctx) })
	return c, poll(ctx, c.Pending)
}

// serve answers the API server's questions at the address that it is told.
func (s *Server) serve(ctx context.Context, c *cluster.Cluster) error {
	host, port, err := net.SplitHostPort(s.api.GuardAddress())
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	handler := webhook.New(webhook.Options{
		Engine: s.engine.Load,
		State:  func() (*state.Snapshot, bool) { return s.writer.Snapshot(), c.Synced() },
	})
	server := ctrlwebhook.NewServer(ctrlwebhook.Options{Host: host, Port: number, CertDir: s.api.GuardCertDir()})
	for _, path := range []string{webhook.ValidatePath, webhook.MutatePath} {
		server.Register(path, handler)
	}
	s.done.Go(func() {
		if err := server.Start(ctx); err != nil {
			s.failed <- err
		}
	})
	started := server.StartedChecker()
	return poll(ctx, func() error {
		select {
		case err := <-s.failed:
			return fmt.Errorf("the webhook server ended: %w", err)
		default:
			return started(nil)
		}
	})
}

// Stop stops everything.
func (s *Server) Stop() error {
	s.stop()
	s.done.Wait()
	return s.api.Stop()
}

// judgeBy makes a configuration the one in force, with the set-up user exempt.
func (s *Server) judgeBy(c *config.Configuration) {
	exempt := *c
	exempt.Exemptions = append([]config.Exemption{{Users: []string{setUpUser}, Reason: "makes the world"}}, c.Exemptions...)
	s.engine.Store(policy.NewEngine(&exempt, rules.All()))
}

// LoadBase stores what is there before every story from now on.
func (s *Server) LoadBase(ctx context.Context, base []manifest.Document) error {
	s.judgeBy(deploykf.Default())
	t := &stage{Server: s}
	if err := t.load(ctx, base); err != nil {
		return err
	}
	for _, d := range base {
		if d.Known {
			s.base[d.Object.Key()] = d
		}
	}
	for _, k := range t.namespaces { // those that the base does not spell out stay, too
		if _, ok := s.base[k]; !ok {
			s.base[k] = manifest.Document{API: resource.ByKind(resource.KindNamespace), Raw: namespaceJSON(k.Name)}
		}
	}
	return nil
}

// Tell tells a story, and leaves the cluster as it was before.
func (s *Server) Tell(ctx context.Context, story *Story) (out Outcome, err error) {
	s.judgeBy(story.Configuration)
	t := &stage{Server: s}
	defer func() { err = errors.Join(err, t.clear(context.WithoutCancel(ctx))) }()
	if err := t.load(ctx, story.Cluster); err != nil {
		return out, err
	}
	if story.IsAudit() {
		return s.audit(ctx, story)
	}
	request, err := object(story.Request)
	if err != nil {
		return out, err
	}
	if err := t.namespace(ctx, request.GetNamespace()); err != nil {
		return out, err
	}
	user, err := s.api.User(story.User, story.Groups...)
	if err != nil {
		return out, err
	}
	if err := t.await(ctx); err != nil {
		return out, err
	}
	var answer apiserver.Answer
	switch t.operation(story) {
	case policy.Create:
		answer = user.Create(ctx, request)
	case policy.Update:
		answer = user.Update(ctx, request)
	case policy.Delete:
		answer = user.Delete(ctx, request)
		if answer.Err == nil {
			t.deleted = append(t.deleted, story.Request.Object.Key())
		}
	}
	if answer.Object != nil {
		t.touched = append(t.touched, thing{story.Request.API.Kind, answer.Object})
	}
	return judge(story, answer)
}

// audit has "gatewarden audit" look at the cluster, with gatewarden's own permissions.
func (s *Server) audit(ctx context.Context, story *Story) (out Outcome, err error) {
	dir, err := os.MkdirTemp("", "gatewarden-audit")
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := s.api.WriteGuardKubeconfig(ctx, kubeconfig); err != nil {
		return out, err
	}
	return auditByCLI(story, "--kubeconfig", kubeconfig)
}

// judge reads an outcome out of the API server's answer.
func judge(story *Story, answer apiserver.Answer) (out Outcome, err error) {
	if out.Findings, err = warnings(answer.Warnings); err != nil {
		return out, err
	}
	if answer.Err != nil {
		var status *apierrors.StatusError
		if !errors.As(answer.Err, &status) || !apierrors.IsForbidden(answer.Err) {
			return out, fmt.Errorf("the API server refused the request itself: %w", answer.Err)
		}
		denied, err := denials(&status.ErrStatus)
		out.Denied, out.Findings = true, append(out.Findings, denied...)
		return out, err
	}
	if answer.Object == nil || !story.isWorkload() {
		return out, nil
	}
	if out.Stored, err = json.Marshal(answer.Object); err != nil {
		return out, err
	}
	for _, p := range []string{"/spec/template/metadata/labels", "/spec/template/metadata/annotations", "/spec/template/spec/securityContext/sysctls"} {
		sent, err := valueAt(story.Request.Raw, p)
		if err != nil {
			return out, err
		}
		stored, err := valueAt(out.Stored, p)
		if err != nil {
			return out, err
		}
		out.Patched = out.Patched || !reflect.DeepEqual(sent, stored)
	}
	return out, nil
}

// stage is what one story does to the cluster.
type stage struct {
	*Server
	touched    []thing        // what was stored, each time
	deleted    []resource.Key // what the request deleted
	leaving    []thing        // what is to be deleted when everything is there
	namespaces []resource.Key // what was created only for what is in it
}

// thing is an object that was stored.
type thing struct {
	kind   resource.Kind
	object *unstructured.Unstructured
}

func (t thing) key() resource.Key {
	return resource.Key{Kind: t.kind, Namespace: t.object.GetNamespace(), Name: t.object.GetName()}
}

// operation is what the story's request does.
func (t *stage) operation(story *Story) policy.Operation {
	switch {
	case story.Operation != "":
		return story.Operation
	case story.Request.Name != "" && t.writer.Snapshot().Get(story.Request.Object.Key()) != nil:
		return policy.Update
	}
	return policy.Create
}

// load stores objects in order, and waits until the snapshot holds them as they are.
func (t *stage) load(ctx context.Context, documents []manifest.Document) error {
	for _, d := range documents {
		if !d.Known {
			continue
		}
		o, err := object(d)
		if err != nil {
			return err
		}
		if err := t.namespace(ctx, o.GetNamespace()); err != nil {
			return err
		}
		if err := t.apply(ctx, d.API.Kind, o); err != nil {
			return fmt.Errorf("%s:%d: %w", d.File, d.Line, err)
		}
	}
	for _, o := range t.leaving {
		if err := t.setUp.Delete(ctx, o.object).Err; err != nil {
			return err
		}
		if err := t.refresh(ctx, o.object); err != nil {
			return fmt.Errorf("a %s that is deleted is gone at once, nothing can be told about it: %w", o.kind, err)
		}
	}
	t.leaving = nil
	return t.await(ctx)
}

// statusKinds are the kinds whose status says something.
var statusKinds = []resource.Kind{resource.KindPod, resource.KindNode, resource.KindCertificate}

// apply stores an object. What only a controller could do to it is done as well: a Pod gets
// its status. What has a deletionTimestamp will be deleted when everything is there, for
// nothing can be created in a namespace that is going away.
func (t *stage) apply(ctx context.Context, kind resource.Kind, o *unstructured.Unstructured) error {
	deleted := o.GetDeletionTimestamp() != nil
	o.SetDeletionTimestamp(nil)
	status, hasStatus := o.Object["status"]
	write := func() apiserver.Answer { return t.setUp.Apply(ctx, o) }
	if kind == resource.KindNamespace && t.writer.Snapshot().Get(resource.Key{Kind: kind, Name: o.GetName()}) != nil {
		// To apply would leave the labels that others put there, which say what is injected.
		write = func() apiserver.Answer { return t.setUp.Update(ctx, o) }
	}
	a := write()
	if a.Err != nil {
		return a.Err
	}
	stored := a.Object
	if hasStatus && slices.Contains(statusKinds, kind) {
		stored.Object["status"] = status
		if err := t.api.Client().Status().Update(ctx, stored); err != nil {
			return err
		}
	}
	if deleted {
		t.leaving = append(t.leaving, thing{kind, stored})
	}
	t.touched = append(t.touched, thing{kind, stored})
	return nil
}

// namespace makes sure that a namespace exists.
func (t *stage) namespace(ctx context.Context, name string) error {
	key := resource.Key{Kind: resource.KindNamespace, Name: name}
	if name == "" || t.writer.Snapshot().Get(key) != nil {
		return nil
	}
	o := &unstructured.Unstructured{}
	if err := json.Unmarshal(namespaceJSON(name), &o.Object); err != nil {
		return err
	}
	a := t.setUp.Create(ctx, o)
	if apierrors.IsAlreadyExists(a.Err) {
		return nil // the snapshot does not have it yet
	}
	if a.Err != nil {
		return a.Err
	}
	t.touched = append(t.touched, thing{resource.KindNamespace, a.Object})
	t.namespaces = append(t.namespaces, key)
	return nil
}

func namespaceJSON(name string) []byte {
	return fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q}}`, name)
}

// await waits until the snapshot holds what was stored, exactly, and nothing that was
// deleted. Events that are still on their way would come as a surprise to the next story.
func (t *stage) await(ctx context.Context) error {
	last := map[resource.Key]*unstructured.Unstructured{}
	for _, o := range t.touched {
		last[o.key()] = o.object
	}
	for _, key := range t.deleted {
		delete(last, key)
		if err := t.awaitGone(ctx, key); err != nil {
			return err
		}
	}
	for key, o := range last {
		raw, err := json.Marshal(o)
		if err != nil {
			return err
		}
		want, err := decode.Object(resource.ByKind(key.Kind), raw)
		if err != nil {
			return err
		}
		if err := poll(ctx, func() error {
			if got := t.writer.Snapshot().Get(key); !reflect.DeepEqual(want, got) {
				return fmt.Errorf("the snapshot does not have %s as it was stored: want %+v, but it has %+v", key, want, got)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// clear takes away what the story added, and brings back what it changed of the base.
func (t *stage) clear(ctx context.Context) error {
	t.judgeBy(deploykf.Default())
	if err := t.await(ctx); err != nil {
		return err
	}
	changed := slices.Clone(t.deleted)
	gone := map[resource.Key]*unstructured.Unstructured{}
	for _, o := range t.touched {
		changed = append(changed, o.key())
		if _, ok := t.base[o.key()]; !ok {
			gone[o.key()] = o.object
		}
	}
	back := &stage{Server: t.Server}
	for _, key := range changed {
		if d, ok := t.base[key]; ok {
			if err := back.load(ctx, []manifest.Document{d}); err != nil {
				return fmt.Errorf("bringing back %s: %w", key, err)
			}
		}
	}
	for _, namespaces := range []bool{false, true} { // what is in a namespace goes first
		for key, o := range gone {
			if (key.Kind == resource.KindNamespace) != namespaces {
				continue
			}
			if err := t.remove(ctx, o, namespaces); err != nil {
				return fmt.Errorf("removing %s: %w", key, err)
			}
		}
	}
	for key := range gone {
		if err := t.awaitGone(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

func (t *stage) awaitGone(ctx context.Context, key resource.Key) error {
	return poll(ctx, func() error {
		if t.writer.Snapshot().Get(key) != nil {
			return fmt.Errorf("the snapshot still has %s", key)
		}
		return nil
	})
}

// remove deletes an object. A namespace is also released from its finalizer, which only
// the namespace controller would do.
func (t *stage) remove(ctx context.Context, o *unstructured.Unstructured, isNamespace bool) error {
	if err := t.setUp.Delete(ctx, o).Err; err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return err
	}
	if !isNamespace {
		return nil
	}
	if err := t.refresh(ctx, o); apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		return err
	}
	unstructured.RemoveNestedField(o.Object, "spec", "finalizers")
	return t.api.Client().SubResource("finalize").Update(ctx, o)
}

// refresh reads an object as it is now.
func (t *stage) refresh(ctx context.Context, o *unstructured.Unstructured) error {
	c := t.api.Client()
	return c.Get(ctx, client.ObjectKeyFromObject(o), o)
}

// object is a document as the API server takes it: without what it decides itself.
func object(d manifest.Document) (*unstructured.Unstructured, error) {
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON(d.Raw); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", d.File, d.Line, err)
	}
	unstructured.RemoveNestedField(o.Object, "metadata", "creationTimestamp")
	return o, nil
}

// poll asks until there is no error.
func poll(ctx context.Context, ask func() error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, pollInterval, pollTimeout, true, func(context.Context) (bool, error) {
		last = ask()
		return last == nil, nil
	})
	if err != nil {
		return errors.Join(last, err)
	}
	return nil
}
