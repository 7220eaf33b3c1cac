package scenarios

import (
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/manifest"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// epoch is the age of the first object of a world that does not tell its age. Only the
// order of ages has a meaning.
var epoch = time.Date(2020, time.January, 1, 0, 0, 0, 0, time.UTC)

// World is what is there before a request, for the doors that keep it in memory. As nobody
// lists a cluster, its snapshot is not complete, but for an audit.
type World struct {
	Snapshot *state.Snapshot
	// raw is the JSON of each object.
	raw map[resource.Key][]byte
}

// NewWorld returns the world before a story's request: the base, if the story wants it, and
// what the story adds, each object a second younger than the one before it unless it says
// otherwise.
func NewWorld(base []manifest.Document, s *Story) (*World, error) {
	w := &World{raw: map[resource.Key][]byte{}}
	writer := state.NewWriter()
	youngest := epoch
	documents := s.Cluster
	if s.Base == BaseDeployKF {
		documents = append(append([]manifest.Document(nil), base...), documents...)
	}
	for _, d := range documents {
		if !d.Known {
			continue
		}
		o, err := decode.Object(d.API, d.Raw) // a value of this world's own
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", d.File, d.Line, err)
		}
		m := o.GetMeta()
		old := writer.Snapshot().Get(o.Key())
		switch {
		case old != nil:
			m.Created = old.GetMeta().Created
		case m.Created.IsZero():
			youngest = youngest.Add(time.Second)
			m.Created = youngest
		case m.Created.After(youngest):
			youngest = m.Created
		}
		writer.Apply(o)
		w.raw[o.Key()] = d.Raw
	}
	writer.SetComplete(s.IsAudit())
	w.Snapshot = writer.Snapshot()
	return w, nil
}

// Change is the story's request as the engine gets it.
func (w *World) Change(s *Story) (policy.Change, error) {
	c := policy.Change{Operation: s.Operation, Requester: s.Requester()}
	key := s.Request.Object.Key()
	if key.Name != "" {
		c.Old = w.Snapshot.Get(key)
	}
	if c.Operation == "" {
		c.Operation = policy.Create
		if c.Old != nil {
			c.Operation = policy.Update
		}
	}
	if (c.Operation == policy.Create) != (c.Old == nil) {
		return c, fmt.Errorf("%s of %s: whether it is there already (%v) says otherwise", c.Operation, key, c.Old != nil)
	}
	if c.Operation == policy.Delete {
		return c, nil
	}
	var err error
	if c.New, err = decode.Object(s.Request.API, s.Request.Raw); err != nil {
		return c, err
	}
	if c.Old != nil {
		c.New.GetMeta().Created = c.Old.GetMeta().Created
	}
	return c, nil
}

// stored returns the JSON of an object with the creationTimestamp that it has in the world,
// as the API server sends it to webhooks; nil for an object that is not there.
func (w *World) stored(o resource.Object) ([]byte, error) {
	if o == nil {
		return nil, nil
	}
	return withCreated(w.raw[o.Key()], o.GetMeta().Created)
}

func withCreated(raw []byte, created time.Time) ([]byte, error) {
	u := &unstructured.Unstructured{}
	if err := json.Unmarshal(raw, &u.Object); err != nil {
		return nil, err
	}
	u.SetCreationTimestamp(metav1.NewTime(created))
	return json.Marshal(u.Object)
}
