package main

import (
	_ "embed"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// controlPlaneObjectives are OpenSLO documents that count by scraped counters.
//
//go:embed controlplane.yaml
var controlPlaneObjectives string

func sloControlPlaneCommand() *cobra.Command {
	var source string
	cmd := &cobra.Command{
		Use:   "control-plane",
		Short: "Print ready-made objectives for kube-apiserver, etcd, scheduler, controller-manager and kubelet",
		Long: `Prints OpenSLO documents that count by the counters of a control plane, either of scraped targets (scrapes in the configuration) or of a
Prometheus server. Write them to a file that objectives.openslo names, and leave out what is not collected: an objective without samples
has gaps and nothing else.`,
		Example: "  kubevalue slo control-plane > slo/control-plane.yaml\n  kubevalue slo control-plane --source prometheus > slo/control-plane.yaml",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().StringVar(&source, "source", "scrape", "scrape, or prometheus")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		kinds := map[string]string{"scrape": "scrape", "prometheus": "Prometheus"}
		kind, ok := kinds[source]
		if !ok {
			return usageError{err: fmt.Errorf("--source %q: want scrape or prometheus", source), text: cmd.UsageString()}
		}
		_, err := io.WriteString(cmd.OutOrStdout(), strings.ReplaceAll(controlPlaneObjectives, "type: scrape,", "type: "+kind+","))
		return err
	}
	return cmd
}
