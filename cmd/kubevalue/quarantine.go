package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

func quarantineCommand() *cobra.Command {
	return group("quarantine", "Look at what could not be stored, and store it after all or drop it",
		`A record that can never be stored goes to the quarantine with the reason: it neither blocks the others nor disappears. It holds what its sender
sent, a person's name included, until it is retried, dropped and past retention.quarantine, or erased with the person (kubevalue privacy erase).`,
		quarantineListCommand(), quarantineShowCommand(), quarantineRetryCommand(), quarantineDropCommand())
}

func quarantineListCommand() *cobra.Command {
	var q schema.QuarantineQuery
	var all, summary bool
	cmd := &cobra.Command{
		Use: "list", Short: "List held records, the newest first, without their content", Args: cobra.NoArgs,
		Example: `  kubevalue quarantine list --summary
  kubevalue quarantine list --kind event --source web --limit 20`,
	}
	path := configFlag(cmd)
	filterFlags(cmd, &q)
	cmd.Flags().IntVar(&q.Limit, "limit", 100, "how many at most")
	cmd.Flags().BoolVar(&all, "all", false, "retried and dropped ones as well")
	cmd.Flags().BoolVar(&summary, "summary", false, "how many are held by kind, source and reason")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkKind(q.Kind); err != nil {
			return usageError{err: err, text: cmd.UsageString()}
		}
		return withWarehouse(cmd, *path, func(_ *Config, db *warehouse.DB) error {
			if summary {
				return summarise(cmd, db)
			}
			if !all {
				q.State = schema.QuarantineHeld
			}
			rows, err := db.Quarantined(cmd.Context(), q)
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "nothing is in quarantine")
				return nil
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "TIME (UTC)\tID\tSTATE\tKIND\tSOURCE\tREASON")
			for _, r := range rows {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", timeText(r.Time), r.ID, r.State, r.Kind, r.Source, r.Reason)
			}
			return w.Flush()
		})
	}
	return cmd
}

func summarise(cmd *cobra.Command, db *warehouse.DB) error {
	counts, err := db.QuarantineCounts(cmd.Context())
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "HELD\tKIND\tSOURCE\tFIRST (UTC)\tLAST (UTC)\tREASON")
	for _, c := range counts {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", c.Records, c.Kind, c.Source, timeText(c.First), timeText(c.Last), c.Reason)
	}
	return w.Flush()
}

// filterFlags bound records by what they are.
func filterFlags(cmd *cobra.Command, q *schema.QuarantineQuery) {
	cmd.Flags().StringVar(&q.Kind, "kind", "", strings.Join(quarantineKinds, ", ")+" (default: any)")
	cmd.Flags().StringVar(&q.Source, "source", "", "the source of the records (default: any)")
}

// quarantineKinds are what a record in quarantine can be: schema.Quarantined.
var quarantineKinds = []string{"event", "slice", "alias", "incident", "change", "feedback", "consumption", "message", "segment"}

// checkKind refuses a kind of records that there is none of, whose records would otherwise seem to be none.
func checkKind(kind string) error {
	if kind != "" && !slices.Contains(quarantineKinds, kind) {
		return fmt.Errorf("--kind %q: want one of %s", kind, strings.Join(quarantineKinds, ", "))
	}
	return nil
}

func quarantineShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show ID", Short: "Print a record with its reason and content; the beginning of the id will do", Args: one("an ID"),
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withWarehouse(cmd, *path, func(_ *Config, db *warehouse.DB) error {
			row, err := quarantinedRecord(cmd.Context(), db, args[0])
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "id:      %s\ntime:    %s UTC\nstate:   %s\nkind:    %s\nsource:  %s\nreason:  %s\n", row.ID, timeText(row.Time), row.State, row.Kind, row.Source, row.Reason)
			var content bytes.Buffer
			if json.Indent(&content, []byte(row.Payload), "", "  ") != nil { // no JSON
				content.Reset()
				content.WriteString(row.Payload)
			}
			fmt.Fprintf(out, "content: %s\n", content.String())
			return nil
		})
	}
	return cmd
}

// quarantinedRecord finds a record by the beginning of its id.
func quarantinedRecord(ctx context.Context, db *warehouse.DB, prefix string) (schema.Quarantined, error) {
	rows, err := db.QuarantinedByID(ctx, prefix, 2)
	switch {
	case err != nil:
		return schema.Quarantined{}, err
	case len(rows) == 0:
		return schema.Quarantined{}, fmt.Errorf("no id in quarantine begins with %q: `kubevalue quarantine list --all` shows them", prefix)
	case len(rows) > 1:
		return schema.Quarantined{}, fmt.Errorf("several ids in quarantine begin with %q, such as %s and %s: write more of it", prefix, rows[0].ID, rows[1].ID)
	}
	return rows[0], nil
}

// selection is which records a decision is about: those named, or all held ones that pass a filter.
type selection struct {
	query schema.QuarantineQuery
	all   bool
}

func (s *selection) check(ids []string) error {
	filtered := s.query.Kind != "" || s.query.Source != ""
	if len(ids) == 0 && !s.all && !filtered {
		return errors.New("name records by their ids, or say --all, --kind or --source")
	}
	if len(ids) > 0 && (s.all || filtered) {
		return errors.New("name records by their ids, or say --all, --kind or --source, not both")
	}
	return checkKind(s.query.Kind)
}

// deciding makes cmd take the ids of records, or a filter, and hand them to run.
func (s *selection) deciding(cmd *cobra.Command, run func(cfg *Config, db *warehouse.DB, ids []string) error) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	path := configFlag(cmd)
	filterFlags(cmd, &s.query)
	cmd.Flags().BoolVar(&s.all, "all", false, "all held records, of --kind and --source where these are given")
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		if err := s.check(ids); err != nil {
			return usageError{err: err, text: cmd.UsageString()}
		}
		return withWarehouse(cmd, *path, func(cfg *Config, db *warehouse.DB) error { return run(cfg, db, ids) })
	}
	return cmd
}

// decisionPage is how many records are decided about at once.
const decisionPage = 1000

// each calls f for the selected records that are held, page by page.
func (s *selection) each(ctx context.Context, db *warehouse.DB, ids []string, f func([]schema.Quarantined) error) error {
	var named []schema.Quarantined
	for _, id := range ids {
		row, err := quarantinedRecord(ctx, db, id)
		if err != nil {
			return err
		}
		if row.State != schema.QuarantineHeld {
			return fmt.Errorf("%s is not held any more: it was %s", row.ID, row.State)
		}
		named = append(named, row)
	}
	if len(ids) > 0 {
		return f(named)
	}
	q := s.query
	q.State, q.Limit = schema.QuarantineHeld, decisionPage
	for {
		page, err := db.Quarantined(ctx, q)
		if err != nil || len(page) == 0 {
			return err
		}
		if err := f(page); err != nil {
			return err
		}
		q.Before, q.BeforeID = page[len(page)-1].Time, page[len(page)-1].ID
	}
}

func quarantineDropCommand() *cobra.Command {
	var s selection
	cmd := &cobra.Command{
		Use: "drop [ID…]", Short: "Give records up: they are not listed any more, and go with retention.quarantine",
		Example: `  kubevalue quarantine drop 5f3a91
  kubevalue quarantine drop --kind message --source web`,
	}
	return s.deciding(cmd, func(_ *Config, db *warehouse.DB, ids []string) error {
		dropped := 0
		err := s.each(cmd.Context(), db, ids, func(rows []schema.Quarantined) error {
			if err := db.DecideQuarantine(cmd.Context(), rows, schema.QuarantineDropped); err != nil {
				return err
			}
			dropped += len(rows)
			return nil
		})
		sayRecords(cmd.OutOrStdout(), dropped, "dropped")
		return err
	})
}

func sayRecords(out io.Writer, n int, what string) {
	if n == 1 {
		fmt.Fprintf(out, "1 record %s\n", what)
		return
	}
	fmt.Fprintf(out, "%d records %s\n", n, what)
}
