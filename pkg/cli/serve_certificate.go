package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gatewarden/gatewarden/pkg/servingcert"
)

// certificatePoll is how often it is looked whether the certificate is valid, to say so when
// that changes.
const certificatePoll = time.Second

// certificate makes the source of the serving certificate.
func (o serveOptions) certificate() (servingcert.Source, error) {
	if !o.selfSigned {
		source, err := servingcert.NewFiles(o.certDir)
		if err != nil {
			return nil, fmt.Errorf("--cert-dir: %w", err)
		}
		return source, nil
	}
	source, err := servingcert.NewSelfSigned(o.hosts, 0)
	if err != nil {
		return nil, fmt.Errorf("--self-signed-host: %w", err)
	}
	if o.caFile != "" { // told now rather than when everything else is running
		if _, err := os.Stat(filepath.Dir(o.caFile)); err != nil {
			return nil, fmt.Errorf("--ca-file: %w", err)
		}
	}
	return source, nil
}

// writeCA writes the CA of the certificate to where it is asked for.
func (o serveOptions) writeCA(cert servingcert.Source) error {
	if o.caFile == "" {
		return nil
	}
	if err := replaceFile(o.caFile, cert.CABundle()); err != nil {
		return fmt.Errorf("--ca-file: %w", err)
	}
	return nil
}

// watchCertificate logs when the certificate becomes one that no client accepts, and when it
// is good again, until the context ends. A certificate that is good from the start is not
// worth a line.
func watchCertificate(ctx context.Context, cert servingcert.Source, log *slog.Logger) {
	ticker := time.NewTicker(certificatePoll)
	defer ticker.Stop()
	last := ""
	for {
		problem := ""
		if err := cert.Healthy(); err != nil {
			problem = err.Error()
		}
		switch problem {
		case last:
		case "":
			log.Info("the serving certificate is valid again", "until", cert.NotAfter().UTC().Format(time.RFC3339))
		default:
			log.Error("not ready: " + problem)
		}
		last = problem
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// replaceFile writes a file that is either the old one or all of the new one at any moment.
// The content is for everybody to read.
func replaceFile(path string, content []byte) (err error) {
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temporary.Name()))
		}
	}()
	_, err = temporary.Write(content)
	if err = errors.Join(err, temporary.Chmod(0o644), temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), path)
}
