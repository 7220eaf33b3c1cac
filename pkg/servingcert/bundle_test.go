package servingcert

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"log/slog"
	"math/big"
	"testing"
	"time"

	"github.com/cert-manager/cert-manager/pkg/util/pki"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/cert"
)

// ca is a CA and its key.
type ca struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
}

func newCA(t *testing.T, name string, made time.Time, lifetime time.Duration) ca {
	t.Helper()
	key, err := pki.GenerateECPrivateKey(pki.ECCurve256)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: made, NotAfter: made.Add(lifetime),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	_, c, err := pki.SignCertificate(template, template, key.Public(), key)
	require.NoError(t, err)
	return ca{c, key}
}

// leaf makes a certificate for localhost.
func (c ca) leaf(t *testing.T, made time.Time, lifetime time.Duration) *x509.Certificate {
	t.Helper()
	key, err := pki.GenerateECPrivateKey(pki.ECCurve256)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{"localhost"}, NotBefore: made, NotAfter: made.Add(lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	_, leaf, err := pki.SignCertificate(template, c.Certificate, key.Public(), c.key)
	require.NoError(t, err)
	return leaf
}

func encode(t *testing.T, authorities ...ca) string {
	t.Helper()
	var out []byte
	for _, a := range authorities {
		b, err := pki.EncodeX509(a.Certificate)
		require.NoError(t, err)
		out = append(out, b...)
	}
	return string(out)
}

// holding is a configuration whose webhooks have these bundles.
func holding(bundles ...string) configuration {
	c := configuration{kind: "ValidatingWebhookConfiguration", name: "gatewarden", version: "7"}
	for i, b := range bundles {
		c.webhooks = append(c.webhooks, registered{string(rune('a'+i)) + ".gatewarden.io", b})
	}
	return c
}

func TestBundleKeepsWhatLeavesAreShownOf(t *testing.T) {
	const keep = time.Hour
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	first, second := newCA(t, "ca", start, 24*time.Hour), newCA(t, "ca", start.Add(10*time.Hour), 24*time.Hour)
	other, sameAge := newCA(t, "other", start, 24*time.Hour), newCA(t, "ca", start, 24*time.Hour)
	soon, late := second.NotBefore.Add(time.Minute), second.NotBefore.Add(keep+time.Minute)
	expiring := newCA(t, "ca", start, 10*time.Hour)
	for name, test := range map[string]struct {
		known []ca
		there []string
		now   time.Time
		want  []ca
	}{
		"nothing was there":                 {nil, []string{""}, soon, []ca{second}},
		"the CA was replaced":               {nil, []string{encode(t, first)}, soon, []ca{second, first}},
		"one webhook was changed":           {nil, []string{encode(t, second), encode(t, first)}, soon, []ca{second, first}},
		"long ago":                          {nil, []string{encode(t, second, first)}, late, []ca{second}},
		"garbled, and the old one was seen": {[]ca{first}, []string{"no PEM"}, soon, []ca{second, first}},
		"seen, long ago":                    {[]ca{first}, []string{encode(t, first)}, late, []ca{second}},
		"somebody else's CA":                {nil, []string{encode(t, other)}, soon, []ca{second}},
		"the old one has expired":           {nil, []string{encode(t, expiring)}, soon, []ca{second}},
		"one from the future":               {[]ca{newCA(t, "ca", soon.Add(time.Hour), 24*time.Hour)}, []string{encode(t, first)}, soon, []ca{second, first}},
		"the new one twice":                 {[]ca{second}, []string{encode(t, second, second)}, soon, []ca{second}},
		"no configuration":                  {nil, nil, soon, []ca{second}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBundler(keep, slog.New(slog.DiscardHandler))
			for _, k := range test.known {
				b.remember(k.Certificate)
			}
			got := b.bundle(second.Certificate, []configuration{holding(test.there...)}, test.now)
			assert.Equal(t, encode(t, test.want...), string(got))
		})
	}

	// Two replicas write the same, or they would not come to rest.
	b := newBundler(keep, slog.New(slog.DiscardHandler))
	one := b.bundle(second.Certificate, []configuration{holding(encode(t, first, sameAge))}, soon)
	two := b.bundle(second.Certificate, []configuration{holding(encode(t, sameAge, first))}, soon)
	assert.Len(t, parse(t, one), 3)
	assert.Equal(t, string(one), string(two))

	// A replica that has not seen the newest CA yet must not take it away from the others.
	b = newBundler(keep, slog.New(slog.DiscardHandler))
	behind := b.bundle(first.Certificate, []configuration{holding(encode(t, second, first))}, late)
	assert.Equal(t, encode(t, first, second), string(behind))
}

func parse(t *testing.T, bundle []byte) []*x509.Certificate {
	t.Helper()
	out, err := cert.ParseCertsPEM(bundle)
	require.NoError(t, err)
	return out
}

func TestBundleIsBounded(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	b := newBundler(time.Hour, slog.New(slog.DiscardHandler))
	var newest ca
	for i := range 2 * maxAuthorities {
		newest = newCA(t, "ca", start.Add(time.Duration(i)*time.Second), 24*time.Hour)
		b.remember(newest.Certificate)
	}
	got := parse(t, b.bundle(newest.Certificate, nil, newest.NotBefore))
	require.Len(t, got, maxAuthorities)
	for i, c := range got {
		assert.Equal(t, newest.NotBefore.Add(-time.Duration(i)*time.Second), c.NotBefore)
	}
	assert.LessOrEqual(t, len(b.known), maxAuthorities)
}

func TestBundleIsWrittenWhereItDiffers(t *testing.T) {
	type written struct{ Op, Path, Value string }
	var patches [][]written
	answer := error(nil)
	c := holding("new", "old", "new", "")
	c.patch = func(_ context.Context, raw []byte) error {
		var patch []written
		require.NoError(t, json.Unmarshal(raw, &patch))
		patches = append(patches, patch)
		return answer
	}
	var log bytes.Buffer
	b := newBundler(time.Hour, slog.New(slog.NewTextHandler(&log, nil)))
	write := func() { b.write(t.Context(), []byte("new"), []configuration{c}) }

	write()
	assert.Equal(t, [][]written{{
		{"test", "/metadata/resourceVersion", "7"},
		{"add", "/webhooks/1/clientConfig/caBundle", "bmV3"},
		{"add", "/webhooks/3/clientConfig/caBundle", "bmV3"},
	}}, patches)
	assert.Contains(t, log.String(), "the caBundle was written")
	assert.NotContains(t, log.String(), "somebody")

	write() // it is different again
	assert.Len(t, patches, 2)
	assert.Contains(t, log.String(), "somebody had changed the caBundle")

	log.Reset()
	answer = apierrors.NewConflict(schema.GroupResource{}, "gatewarden", errors.New("changed"))
	write()
	assert.Empty(t, log.String())
	answer = errors.New("you must not")
	write()
	assert.Contains(t, log.String(), "you must not")
	log.Reset()
	write()
	assert.Empty(t, log.String(), "it is told once")

	c.webhooks = holding("new", "new").webhooks
	before := len(patches)
	write()
	assert.Len(t, patches, before)

	// Somebody who writes as often is not answered as often.
	c.webhooks = holding("old").webhooks
	for range 100 {
		write()
	}
	assert.Less(t, len(patches), 20)
}
