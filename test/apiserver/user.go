package apiserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// mastersGroup is permitted everything by the API server.
const mastersGroup = "system:masters"

// fieldManager owns the fields of applied objects.
const fieldManager = "gatewarden-test"

// User makes requests in the name of somebody and records what the API server answers.
type User struct {
	client client.Client
}

// Answer is what the API server answered to one request.
type Answer struct {
	// Object is the object as it was stored, or at a dry run would be. It is nil if the
	// request was refused, and after a DELETE.
	Object *unstructured.Unstructured
	// Warnings are those that came with the answer, in order.
	Warnings []string
	// Err is the refusal; errors.As finds the API server's *apierrors.StatusError in it.
	Err error
}

// User returns somebody who is permitted everything, so that only admission can refuse what
// he asks for. The webhook sees the name and the groups, and the group system:masters.
func (s *Server) User(name string, groups ...string) (*User, error) {
	config := rest.CopyConfig(s.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: name, Groups: append([]string{mastersGroup}, groups...)}
	return newUser(config)
}

func newUser(config *rest.Config) (*User, error) {
	config = rest.CopyConfig(config)
	config.WarningHandlerWithContext = warningRecorder{}
	c, err := client.New(config, client.Options{})
	if err != nil {
		return nil, fmt.Errorf("making a client for %s: %w", config.Host, err)
	}
	return &User{client: c}, nil
}

// Create asks for a new object. The object is not changed; see Answer.Object.
func (u *User) Create(ctx context.Context, o *unstructured.Unstructured, opts ...client.CreateOption) Answer {
	return answer(ctx, o, func(ctx context.Context, o *unstructured.Unstructured) error {
		return u.client.Create(ctx, o, opts...)
	})
}

// Update replaces the stored object of the same name, at whichever version it is unless the
// object says which.
func (u *User) Update(ctx context.Context, o *unstructured.Unstructured, opts ...client.UpdateOption) Answer {
	return answer(ctx, o, func(ctx context.Context, o *unstructured.Unstructured) error {
		if o.GetResourceVersion() == "" {
			stored := &unstructured.Unstructured{}
			stored.SetGroupVersionKind(o.GroupVersionKind())
			if err := u.client.Get(ctx, client.ObjectKeyFromObject(o), stored); err != nil {
				return err
			}
			o.SetResourceVersion(stored.GetResourceVersion())
		}
		return u.client.Update(ctx, o, opts...)
	})
}

// Apply creates the object or changes the stored one, as kubectl apply --server-side does.
func (u *User) Apply(ctx context.Context, o *unstructured.Unstructured, opts ...client.ApplyOption) Answer {
	opts = append([]client.ApplyOption{client.FieldOwner(fieldManager), client.ForceOwnership}, opts...)
	return answer(ctx, o, func(ctx context.Context, o *unstructured.Unstructured) error {
		return u.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), opts...)
	})
}

// Delete asks for the removal of the object.
func (u *User) Delete(ctx context.Context, o *unstructured.Unstructured, opts ...client.DeleteOption) Answer {
	a := answer(ctx, o, func(ctx context.Context, o *unstructured.Unstructured) error {
		return u.client.Delete(ctx, o, opts...)
	})
	a.Object = nil
	return a
}

// Load applies objects in order and creates the namespaces that they need. It ends at the
// first that is refused.
func (u *User) Load(ctx context.Context, objects ...*unstructured.Unstructured) error {
	for _, o := range objects {
		if ns := o.GetNamespace(); ns != "" {
			namespace := &unstructured.Unstructured{}
			namespace.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"})
			namespace.SetName(ns)
			if err := u.Create(ctx, namespace).Err; err != nil && !apierrors.IsAlreadyExists(err) {
				return fmt.Errorf("creating the namespace of %s: %w", describe(o), err)
			}
		}
		if err := u.Apply(ctx, o).Err; err != nil {
			return fmt.Errorf("applying %s: %w", describe(o), err)
		}
	}
	return nil
}

// ReadObjects reads all objects of YAML or JSON files, in order.
func ReadObjects(paths ...string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for _, path := range paths {
		found, err := readFile(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		objects = append(objects, found...)
	}
	return objects, nil
}

func readFile(path string) ([]*unstructured.Unstructured, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	for {
		o := &unstructured.Unstructured{}
		if err := d.Decode(&o.Object); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, err
		}
		if len(o.Object) > 0 {
			objects = append(objects, o)
		}
	}
}

// answer runs a request on a copy of the object and collects the warnings that it causes.
func answer(ctx context.Context, o *unstructured.Unstructured,
	request func(context.Context, *unstructured.Unstructured) error,
) Answer {
	o = o.DeepCopy()
	var w warnings
	if err := request(context.WithValue(ctx, warningsKey{}, &w), o); err != nil {
		return Answer{Warnings: w.texts, Err: err}
	}
	return Answer{Object: o, Warnings: w.texts}
}

// warningsKey is the key of a request's *warnings in its context.
type warningsKey struct{}

type warnings struct {
	mu    sync.Mutex
	texts []string
}

// warningRecorder hands each warning to the request that caused it.
type warningRecorder struct{}

// HandleWarningHeaderWithContext implements rest.WarningHandlerWithContext. Code 299 is the
// one that the API server uses for its warnings.
func (warningRecorder) HandleWarningHeaderWithContext(ctx context.Context, code int, _, text string) {
	w, ok := ctx.Value(warningsKey{}).(*warnings)
	if !ok || code != 299 || text == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, text)
}
