package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/gatewarden/gatewarden/pkg/cluster"
	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/installed"
	"github.com/gatewarden/gatewarden/pkg/manifest"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
)

// clusterTimeout bounds all that "config" asks the cluster.
const clusterTimeout = 30 * time.Second

type configOptions struct {
	values     []string
	version    string
	kubeconfig string
	gateways   []string
}

func newConfigCommand(s streams) *cobra.Command {
	var o configOptions
	cmd := &cobra.Command{
		Use:   "config [flags]",
		Short: "Write a configuration from what is installed",
		Long: "config writes a commented configuration to standard output: the built-in one, or the one that\n" +
			"deployKF's values lead to. With --kubeconfig it lists the gateway's Gateways, Services and workloads,\n" +
			"writes what it finds, and says where that is not what the values say. With --gateway it does so for\n" +
			"any other gateway.\n\n" +
			"What it can not be sure of is on standard error and in comments. It changes nothing.",
		Example: "  # deployKF, from the values it was installed with\n" +
			"  gatewarden config --deploykf-values sample-values.yaml --deploykf-values our-values.yaml > config.yaml\n\n" +
			"  # The same, compared with the cluster\n" +
			"  gatewarden config --deploykf-values our-values.yaml --kubeconfig ~/.kube/config > config.yaml\n\n" +
			"  # Another shared gateway\n" +
			"  gatewarden config --kubeconfig ~/.kube/config --gateway gateways/shared > config.yaml",
		Args: flagsOnly(func() error { return o.validate() }),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := runConfig(cmd.Context(), s, o); err != nil {
				return failed(err)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.values, "deploykf-values", nil, "`FILE` with values of deployKF, merged over the ones before it; repeatable")
	f.StringVar(&o.version, "deploykf-version", string(deploykf.Latest), "`VERSION` of deployKF")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig `FILE` of the cluster to compare with")
	f.StringArrayVar(&o.gateways, "gateway", nil, "`NAMESPACE/NAME` of a Gateway to guard; repeatable, needs --kubeconfig")
	return cmd
}

func (o configOptions) validate() error {
	if len(o.gateways) > 0 && o.kubeconfig == "" {
		return errors.New("--gateway needs --kubeconfig: what a Gateway is, only its cluster tells")
	}
	for _, g := range o.gateways {
		if ns, n, ok := strings.Cut(g, "/"); !ok || ns == "" || n == "" || strings.Contains(n, "/") {
			return fmt.Errorf("--gateway %q: use NAMESPACE/NAME", g)
		}
	}
	if _, err := deploykf.ParseVersion(o.version); err != nil {
		return fmt.Errorf("--deploykf-version %w", err)
	}
	n := 0
	for _, v := range o.values {
		if v == manifest.Stdin {
			n++
		}
	}
	if n > 1 {
		return errors.New("--deploykf-values - is given more than once: standard input can be read only once")
	}
	return nil
}

// draft is a configuration in the making.
type draft struct {
	cfg      *config.Configuration
	comments map[string]string
	// remarks are for standard error as well.
	remarks []string
}

// remark puts a sentence before a field, and on standard error.
func (d *draft) remark(field, text string) {
	d.comments[field] = strings.Trim(d.comments[field]+"\n"+text, "\n")
	d.remarks = append(d.remarks, field+": "+text)
}

func runConfig(ctx context.Context, s streams, o configOptions) error {
	d := &draft{cfg: &config.Configuration{APIVersion: config.APIVersion, Kind: config.Kind}, comments: map[string]string{}}
	head := []string{"What gatewarden guards."}
	var client dynamic.Interface
	if o.kubeconfig != "" {
		var err error
		if client, err = readOnlyClient(o.kubeconfig); err != nil {
			return err
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, clusterTimeout)
		defer cancel()
	}
	if len(o.gateways) == 0 || len(o.values) > 0 {
		text, err := o.deployKF(ctx, s, d, client)
		if err != nil {
			return err
		}
		head = append(head, text)
	}
	for _, g := range o.gateways {
		if err := o.other(ctx, d, client, g); err != nil {
			return err
		}
		head = append(head, "Gateway "+g+" is as the cluster has it.")
	}
	out, err := d.write(strings.Join(head, "\n"))
	if err != nil {
		return err
	}
	for _, r := range d.remarks {
		complain(s.Err, errors.New(r))
	}
	if _, err := s.Out.Write(out); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// write writes the draft, which has to be a configuration that gatewarden takes.
func (d *draft) write(head string) ([]byte, error) {
	out, err := config.Marshal(d.cfg, head, d.comments)
	if err != nil {
		return nil, err
	}
	if _, err := rules.Load(out, "the configuration that comes of it"); err != nil {
		return nil, err
	}
	return out, nil
}

// deployKF adds the gateway of deployKF, and says what it is made from.
func (o configOptions) deployKF(ctx context.Context, s streams, d *draft, client dynamic.Interface) (string, error) {
	version, err := deploykf.ParseVersion(o.version)
	if err != nil {
		return "", err
	}
	installation := deploykf.DefaultInstallation(version).WithAllTools()
	text := fmt.Sprintf("This is deployKF %s with default values and all tools, written out to be edited.\n"+
		"First of all the domain, which deployKF has in deploykf_core.deploykf_istio_gateway.gateway.hostname.", version)
	if len(o.values) > 0 {
		var files []deploykf.File
		for _, path := range o.values {
			data, err := readInput(s, path)
			if err != nil {
				return "", fmt.Errorf("--deploykf-values %s: %w; name a readable file", path, err)
			}
			files = append(files, deploykf.File{Name: path, Data: data})
		}
		var remarks []string
		if installation, remarks, err = deploykf.Read(version, files...); err != nil {
			return "", err
		}
		d.remarks = append(d.remarks, remarks...)
		text = fmt.Sprintf("Made from the values of deployKF %s in %s.", version, strings.Join(o.values, ", "))
	}
	cfg := installation.Configuration()
	d.cfg = cfg
	if n := cfg.GuardedGateways[0].Namespace; n != deploykf.DefaultInstallation(version).Namespace {
		d.remark("guardedGateways[0].namespace", "Write deploy/base/webhooks.yaml again, by \"gatewarden webhooks --config FILE\": it names the gateway's namespace.")
	}
	for field, comment := range installation.Comments() {
		d.comments[field] = strings.Trim(comment+"\n"+d.comments[field], "\n")
	}
	if client == nil {
		return text, nil
	}
	g := &cfg.GuardedGateways[0]
	found, err := installed.Find(ctx, client, g.Namespace, g.Gateways)
	if err != nil {
		return "", fmt.Errorf("--kubeconfig %s: %w; deployKF is to be there by its values", o.kubeconfig, err)
	}
	for _, doubt := range installation.Doubts(found.Names()) {
		d.remark("guardedGateways[0].gateways", doubt)
	}
	for _, difference := range found.Update(g) {
		d.remark("guardedGateways[0]."+difference.Field, difference.Text)
	}
	return text + "\nPorts, hosts, labels and the ServiceAccount are those that the cluster has.", nil
}

// other adds another gateway, of which nothing is known but what the cluster has.
func (o configOptions) other(ctx context.Context, d *draft, client dynamic.Interface, gateway string) error {
	namespace, gatewayName, _ := strings.Cut(gateway, "/")
	found, err := installed.Find(ctx, client, namespace, []string{gatewayName})
	if err != nil {
		return fmt.Errorf("--kubeconfig %s: --gateway %s: %w", o.kubeconfig, gateway, err)
	}
	g, err := found.Guarded()
	if err != nil {
		return fmt.Errorf("--kubeconfig %s: --gateway %s: %w", o.kubeconfig, gateway, err)
	}
	if slices.ContainsFunc(d.cfg.GuardedGateways, func(o config.GuardedGateway) bool { return o.Name == g.Name }) {
		g.Name = gateway
	}
	field := fmt.Sprintf("guardedGateways[%d]", len(d.cfg.GuardedGateways))
	d.cfg.GuardedGateways = append(d.cfg.GuardedGateways, g)
	if d.cfg.Mesh.RootNamespace == "" {
		d.cfg.Mesh = config.Mesh{RootNamespace: config.DefaultRootNamespace, DefaultVirtualServiceExportTo: []string{"*"}}
		d.comments["mesh"] = "These are Istio's defaults: compare them with the ConfigMap istio of its namespace."
	}
	if len(g.OwnerObjects) > 0 {
		d.remark(field+".ownerObjects", "These are in the Gateway's namespace now. Take out what is not the owner's, and add his routes in other namespaces.")
	}
	d.remark(field+".servers", "Name the domains that are the owner's alone in \"domains\", if he has any: the cluster does not tell.")
	return nil
}

// readInput reads a file, or standard input.
func readInput(s streams, path string) ([]byte, error) {
	if path == manifest.Stdin {
		return io.ReadAll(s.In)
	}
	return readFile(path)
}

// readOnlyClient makes a client for what a kubeconfig file names. It is used for lists only.
func readOnlyClient(path string) (dynamic.Interface, error) {
	c, err := serveOptions{kubeconfig: path}.clientConfig()
	if err != nil {
		return nil, err
	}
	return dynamicClient(c)
}

// dynamicClient makes a client that does not wait for itself.
func dynamicClient(c *rest.Config) (dynamic.Interface, error) {
	c.QPS, c.Burst = clientQPS, clientBurst
	v, _ := buildVersion()
	c.UserAgent = name + "/" + v
	d, err := cluster.NewClient(c)
	if err != nil {
		return nil, fmt.Errorf("the cluster's API server: %w", err)
	}
	return d, nil
}
