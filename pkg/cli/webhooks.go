package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/registration"
)

func newWebhooksCommand(s streams) *cobra.Command {
	var configFile, namespace string
	cmd := &cobra.Command{
		Use:   "webhooks [flags]",
		Short: "Write the webhook configurations for a configuration",
		Long: "webhooks writes to standard output what the API server is to ask gatewarden: the\n" +
			"ValidatingWebhookConfiguration and the MutatingWebhookConfiguration. Kinds and operations follow from the\n" +
			"rules; the namespaces and labels of the guarded gateways, from the configuration.",
		Example: "  # After a change of guardedGateways or mesh\n" +
			"  gatewarden webhooks --config deploy/base/config.yaml > deploy/base/webhooks.yaml",
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := loadConfig(configFile)
			if err != nil {
				return failed(err)
			}
			set, err := registration.Webhooks(registration.Options{Config: cfg, Rules: rules.All(), Namespace: namespace})
			if err != nil {
				return failed(err)
			}
			if err := set.Write(s.Out, "What the API server asks gatewarden. Written by \""+name+" webhooks\": change the configuration, and write it again."); err != nil {
				return failed(fmt.Errorf("standard output: %w", err))
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&configFile, "config", "", "configuration `FILE` (default: deployKF's defaults, for the domain "+deploykf.DefaultHostname+")")
	f.StringVar(&namespace, "namespace", registration.Name, "`NAMESPACE` that gatewarden runs in")
	return cmd
}
