package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/gatewarden/gatewarden/pkg/clientcert"
)

// callerOptions say who may ask for decisions.
type callerOptions struct {
	caFile string
	names  []string
}

// bind declares the flags.
func (c *callerOptions) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.caFile, "client-ca-file", "", "`FILE` with the CA of the client certificate that the API server sends, read again when it changes; others get no decisions (default: everybody may ask)")
	f.StringSliceVar(&c.names, "client-cn", nil, "common `NAME` that the API server's client certificate has to have; repeatable (default: any)")
}

func (c callerOptions) validate() error {
	if len(c.names) > 0 && c.caFile == "" {
		return errors.New("--client-cn needs --client-ca-file: a name proves nothing without a CA")
	}
	return nil
}

// ask is what the TLS server does about client certificates. It never refuses one: see package
// clientcert.
func (c callerOptions) ask() tls.ClientAuthType {
	if c.caFile == "" {
		return tls.NoClientCert
	}
	return tls.RequestClientCert
}

// callers knows who may ask. Nil is for everybody.
type callers struct{ *clientcert.Verifier }

func (c callerOptions) verifier(log *slog.Logger) (*callers, error) {
	if c.caFile == "" {
		return nil, nil
	}
	v, err := clientcert.New(c.caFile, c.names, log)
	if err != nil {
		return nil, fmt.Errorf("--client-ca-file: %w", err)
	}
	return &callers{v}, nil
}

// check is webhook.Options.Caller.
func (c *callers) check() func(*tls.ConnectionState) (int, error) {
	if c == nil {
		return nil
	}
	return c.Check
}

// run keeps the CA current until the context ends.
func (c *callers) run(ctx context.Context) {
	if c != nil {
		c.Run(ctx)
	}
}
