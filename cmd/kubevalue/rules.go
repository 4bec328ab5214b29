package main

import (
	_ "embed"
	"fmt"

	"github.com/spf13/cobra"
)

// alertRules are the alert rules for kubevalue's own metrics; rules_test.yaml tests them.
//
//go:embed rules.yaml
var alertRules string

func rulesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rules",
		Short: "Print Prometheus alert rules for the service's own ingestion and its sources",
		Long: `Prints alert rules for the metrics that the service has about itself on /metrics: what it received, refused and why, what waits in the spool and for
how long, what was inserted, retried and quarantined, and how late events reach the tables; and for its sources: clusters and audit webhooks that fall
silent, kinds that cannot be watched, targets and Prometheus servers that fail. They expect that the service is scraped as the job kubevalue. Alerts
with severity page mean that events are being lost or will be; the others can wait for the morning.`,
		Example: "  kubevalue rules > /etc/prometheus/rules/kubevalue.yaml && promtool check rules /etc/prometheus/rules/kubevalue.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), alertRules)
			return err
		},
	}
}
