package webhook

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A body that does not come ends a request, and one that has come is read whatever happens later.
func TestBodiesAreReadInTime(t *testing.T) {
	for name, version := range map[string]int{"HTTP/1.1": 1, "HTTP/2": 2} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, version, r.ProtoMajor)
				timeout := time.Hour
				if r.URL.Path == "/slow" {
					timeout = 20 * time.Millisecond
				}
				stop := limit(w, timeout)
				_, err := io.ReadAll(r.Body)
				stop()
				ended <- err
			}))
			server.EnableHTTP2 = version == 2
			server.StartTLS()
			t.Cleanup(server.Close)
			post := func(path string, body io.Reader) {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+path, body)
				require.NoError(t, err)
				if response, err := server.Client().Do(request); err == nil {
					_ = response.Body.Close()
				}
			}

			body, end := io.Pipe()
			go post("/slow", body)
			require.ErrorIs(t, <-ended, os.ErrDeadlineExceeded)
			require.NoError(t, end.Close())
			post("/", http.NoBody)
			require.NoError(t, <-ended)
		})
	}
}

// late is a ResponseWriter of a connection whose body never comes.
type late struct {
	*httptest.ResponseRecorder
	body *io.PipeWriter
}

// SetReadDeadline is what http.ResponseController looks for.
func (l late) SetReadDeadline(time.Time) error { return l.body.CloseWithError(os.ErrDeadlineExceeded) }

func TestRequestsWithoutABodyEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body, sender := io.Pipe()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, ValidatePath, body)
		r.Header.Set("Content-Type", "application/json")
		start := time.Now()
		_, bad := read(late{httptest.NewRecorder(), sender}, r)
		require.NotNil(t, bad)
		assert.Equal(t, http.StatusBadRequest, bad.status)
		assert.Contains(t, bad.text, "i/o timeout")
		assert.Equal(t, readTimeout, time.Since(start))
	})
}
