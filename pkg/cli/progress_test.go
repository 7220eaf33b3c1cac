package cli

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	p := &progress{w: &out, now: func() time.Time { return now }, next: now.Add(progressAfter)}
	p.tell("judging objects", 1, 10_000)
	assert.Empty(t, out.String(), "nobody waits yet")
	p.end()
	assert.Empty(t, out.String(), "nothing to take away")

	now = now.Add(progressAfter)
	p.tell("judging objects", 998, 10_000)
	p.tell("judging objects", 999, 10_000) // just now it was told
	now = now.Add(progressEvery)
	p.tell("writing", 0, 0)
	now = now.Add(progressEvery)
	p.tell("judging objects", 1000, 10_000)
	p.end()
	assert.Equal(t, "\rgatewarden: judging objects: 998 of 10000"+
		"\rgatewarden: writing                      "+
		"\rgatewarden: judging objects: 1000 of 10000"+
		"\r"+strings.Repeat(" ", len("gatewarden: judging objects: 1000 of 10000"))+"\r", out.String())
}

// Neither a pipe, nor a file, nor what is no file at all is a terminal.
func TestNoProgressElsewhere(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	file, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	var buffer bytes.Buffer
	assert.Nil(t, newProgress(w).w)
	assert.Nil(t, newProgress(file).w)
	p := newProgress(&buffer)
	p.next = time.Time{}
	p.tell("judging objects", 1, 2)
	p.end()
	assert.Empty(t, buffer.String())
	require.NoError(t, w.Close())
	require.NoError(t, file.Close())
}

func TestTerminal(t *testing.T) {
	device, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no pseudo-terminal: ", err)
	}
	defer func() { require.NoError(t, device.Close()) }()
	t.Setenv("TERM", "xterm")
	assert.NotNil(t, newProgress(device).w)
	t.Setenv("TERM", "dumb")
	assert.Nil(t, newProgress(device).w)
}
