package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

func quarantineCommand() *cobra.Command {
	return group("quarantine", "Look at what could not be stored",
		"A record that can never be stored goes to the quarantine with the reason: it neither blocks the others nor disappears.",
		quarantineListCommand())
}

func quarantineListCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{Use: "list", Short: "List quarantined records, the newest first, without their content", Args: cobra.NoArgs}
	path := configFlag(cmd)
	cmd.Flags().IntVar(&limit, "limit", 100, "how many at most")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withWarehouse(cmd, *path, func(_ *Config, db *warehouse.DB) error {
			held, err := db.Quarantined(cmd.Context(), schema.QuarantineQuery{State: schema.QuarantineHeld, Limit: limit})
			if err != nil {
				return err
			}
			if len(held) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "nothing is in quarantine")
				return nil
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "TIME (UTC)\tID\tKIND\tSOURCE\tREASON")
			for _, q := range held {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", timeText(q.Time), q.ID, q.Kind, q.Source, q.Reason)
			}
			return w.Flush()
		})
	}
	return cmd
}
