package webhook

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"

	"github.com/gatewarden/gatewarden/test/worlds"
)

// readOf is what a request is judged by.
func readOf(q *admissionv1.AdmissionRequest) *admissionv1.AdmissionRequest {
	if q == nil {
		return nil
	}
	return &admissionv1.AdmissionRequest{
		UID: q.UID, Kind: q.Kind, SubResource: q.SubResource, Name: q.Name, Namespace: q.Namespace, Operation: q.Operation,
		UserInfo: authenticationv1.UserInfo{Username: q.UserInfo.Username, Groups: q.UserInfo.Groups},
		Object:   q.Object, OldObject: q.OldObject, DryRun: q.DryRun,
	}
}

// What is read of a review is what encoding/json reads of it, and so are the faults.
func TestUnmarshal(t *testing.T) {
	bodies := []string{
		"", "{}", "null", "[]", "7", `{"request":null}`, `{"request":{}}`, `{"request":[]}`, `{"apiVersion":1}`, `{"request":{"uid":7}}`,
		`{"request":{"object":{"a":[1,{"b":null}]},"object":{"c":1},"oldObject":null,"dryRun":null}}`,
		`{"request":{"UID":"a","Operation":"CREATE","userinfo":{"Groups":["x",null]},"dryRun":true,"dryrun":false}}`,
		`{"request":{"kind":{"group":"g","version":"v","kind":"k"},"kind":{"group":"h"},"subResource":"status","name":"\u0041\ud800"}}`,
		"{\"request\":{\"name\":\"\xff\"}}", `{"request":{"object":"text"}} `, `{"request":{"object":1}}x`, `{"request":{"object":{]}}`,
	}
	for i, m := range worlds.Samples() {
		for _, op := range []string{"CREATE", "UPDATE", "DELETE"} {
			bodies = append(bodies, string(m.Review(op, i)))
		}
	}
	for i := 0; i < len(bodies); i++ {
		var want admissionv1.AdmissionReview
		wantErr := json.Unmarshal([]byte(bodies[i]), &want)
		got, err := unmarshal([]byte(bodies[i]))
		if wantErr != nil {
			require.Error(t, err, bodies[i])
			assert.Equal(t, wantErr.Error(), err.Error(), bodies[i])
			continue
		}
		require.NoError(t, err, bodies[i])
		assert.Equal(t, want.TypeMeta, got.TypeMeta, bodies[i])
		assert.Equal(t, readOf(want.Request), readOf(got.Request), bodies[i])
	}
}

// What is read does not change when the memory of its body is used again.
func TestBodyIsCopied(t *testing.T) {
	body := worlds.Samples()[0].Review("UPDATE", 1)
	want, bad := parse(bytes.Clone(body))
	require.Nil(t, bad)
	got, bad := parse(body)
	require.Nil(t, bad)
	for i := range body {
		body[i] = 'z' // as the next request does
	}
	assert.Equal(t, want, got)
}
