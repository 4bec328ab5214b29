package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

func costCommand() *cobra.Command {
	return group("cost", "Say what of the clusters has a price",
		"Prices of node types, storage classes and load balancers (costs in the configuration) make costs of what watched clusters have; `kubevalue metric eval O23 --by team` shows those of teams.",
		costCheckCommand())
}

func costCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "List what clusters had in the last 24 hours with its price, and what has none",
		Long: `Lists the types of nodes, storage classes and classes of load balancers that watched clusters had in the last 24 hours, in how many clusters, and the
price that is in force: of the class itself, or else of its kind. What has none is left out of all costs and lowers their coverage; add it to costs in
the configuration, with 0 if it costs nothing. Exit code 1 when something has no price.`,
		Args: cobra.NoArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withWarehouse(cmd, *path, func(cfg *Config, db *warehouse.DB) error {
			all, err := had(cmd.Context(), db, time.Now())
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if len(all) == 0 {
				fmt.Fprintln(out, "No watched cluster told within 24 hours what it has: `kubevalue cluster list` shows which ones report.")
				return nil
			}
			without := 0
			w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "KIND\tCLASS\tCLUSTERS\tPRICE")
			for _, c := range all {
				price := "none"
				if c.perHour == nil {
					without++
				} else {
					price = priceText(c, cfg.Costs.Currency)
				}
				fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", c.kind, orDash(c.class), c.clusters, price)
			}
			if err := w.Flush(); err != nil || without == 0 {
				return err
			}
			fmt.Fprintf(out, "%d of %d have no price: add them to costs in the configuration, with 0 for what costs nothing\n", without, len(all))
			return exitError{1}
		})
	}
	return cmd
}

// priceText is a price as the configuration has it.
func priceText(c hadClass, currency string) string {
	if c.kind == string(schema.ConsumedStorage) {
		return fmt.Sprintf("%.4g %s per GiB and month", *c.perHour*hoursInMonth, currency)
	}
	return fmt.Sprintf("%.4g %s per hour", *c.perHour, currency)
}
