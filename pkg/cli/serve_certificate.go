package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"

	"github.com/gatewarden/gatewarden/pkg/leadership"
	"github.com/gatewarden/gatewarden/pkg/servingcert"
)

// certificatePoll is how often it is looked whether the certificate is valid, to say so when
// that changes.
const certificatePoll = time.Second

// managedOptions are those of a certificate that the replicas make for themselves.
type managedOptions struct {
	on             bool
	service        string
	hosts          []string
	configurations string
	caDuration     time.Duration
	leafDuration   time.Duration
}

// bind declares the flags.
func (m *managedOptions) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&m.on, "self-managed", false, "make a CA, kept in the Secret "+servingcert.AuthoritySecret+", and certificates of it, and write the CA into the webhook configurations; of several replicas one does")
	f.StringVar(&m.service, "service-name", name, "`NAME` of the Service by which the API server calls, for the self-managed certificate")
	f.StringSliceVar(&m.hosts, "self-managed-host", nil, "further DNS `NAME` that the self-managed certificate is valid for; repeatable")
	f.StringVar(&m.configurations, "webhook-configuration", name, "`NAME` of the webhook configurations to write the CA into, validating and mutating")
	f.DurationVar(&m.caDuration, "ca-duration", servingcert.DefaultCADuration, "how long a self-managed CA is valid; it is replaced after two thirds")
	f.DurationVar(&m.leafDuration, "certificate-duration", servingcert.DefaultLeafDuration, "how long a self-managed certificate is valid; it is replaced after two thirds")
}

// validateCertificate checks where the certificate comes from.
func (o serveOptions) validateCertificate() error {
	n := 0
	for _, given := range []bool{o.certDir != "", o.selfSigned, o.managed.on} {
		if given {
			n++
		}
	}
	switch {
	case n > 1:
		return errors.New("more than one of --cert-dir, --self-managed and --self-signed: the certificate comes from one of them")
	case n == 0:
		return errors.New("no certificate: give --cert-dir, or --self-managed or --self-signed to make one")
	case o.managed.on && len(o.cluster) > 0:
		return errors.New("--self-managed needs a cluster for its CA: --cluster takes the state from manifests")
	case o.managed.on:
		if err := servingcert.CheckDurations(o.managed.caDuration, o.managed.leafDuration); err != nil {
			return fmt.Errorf("--ca-duration and --certificate-duration: %w", err)
		}
	}
	return nil
}

// managedCertificate makes the source of a certificate that the replicas make for themselves.
func (o serveOptions) managedCertificate(client *rest.Config, leader *leadership.Leadership, log *slog.Logger) (servingcert.Source, error) {
	service := o.managed.service + "." + o.ownNamespace() + ".svc" // as the API server calls it
	source, err := servingcert.NewManaged(servingcert.ManagedOptions{
		Client: client, Namespace: o.ownNamespace(), Configurations: o.managed.configurations,
		DNSNames:   append([]string{service, service + ".cluster.local"}, o.managed.hosts...),
		CADuration: o.managed.caDuration, LeafDuration: o.managed.leafDuration,
		Leading: leader.Leading, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("--self-managed: %w", err)
	}
	leader.OnWon(source.Wake)
	return source, nil
}

// certificate makes the source of the serving certificate, or returns nil if that needs the
// cluster.
func (o serveOptions) certificate() (servingcert.Source, error) {
	if o.managed.on {
		return nil, nil
	}
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
	last := ""
	wait.UntilWithContext(ctx, func(context.Context) {
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
	}, certificatePoll)
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
