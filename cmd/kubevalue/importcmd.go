package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/collectors/audit"
	"github.com/kubevalue/kubevalue/pipeline"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

func importCommand() *cobra.Command {
	return group("import", "Import what happened before the service was there",
		"Imports go through the same pipeline as everything else, beside a running service or without one: what was imported before, or came by webhook, is not counted twice.",
		importAuditCommand(), importEventsCommand())
}

func auditPolicyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "audit-policy",
		Short: "Print an audit policy for kube-apiserver that keeps what the metrics need",
		Long: `Prints a policy for kube-apiserver's --audit-policy-file that keeps the volume low and keeps what the metrics need. The API server sends a
bearer token to an audit webhook over https only.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return audit.Policy(cmd.OutOrStdout()) },
	}
}

func importAuditCommand() *cobra.Command {
	var in audit.ImportConfig
	var format string
	cmd := &cobra.Command{
		Use:   "audit FILE…",
		Short: "Import Kubernetes audit log files",
		Long: `Reads audit log files (also gzip or zstd) and hands their usage events to the pipeline, with progress and a summary of what was left out
and why. An import that was stopped goes on where it was; events may be as old as they are.`,
		Example: "  kubevalue import audit /var/log/kubernetes/audit-*.log --cluster prod-eu",
		Args:    atLeastOne("the FILEs to import"),
	}
	path := configFlag(cmd)
	cmd.Flags().StringVar(&in.Cluster, "cluster", "", "name of the cluster that the events come from (default: what the wrapper says)")
	cmd.Flags().StringVar(&format, "format", "", "json-lines, eks, aks or gke (default: found out)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in.Files, in.Format = args, audit.Format(format)
		return withWarehouse(cmd, *path, func(cfg *Config, db *warehouse.DB) error {
			if _, err := db.Migrate(cmd.Context()); err != nil {
				return err
			}
			return importing(cmd, cfg, db, func(pipe *pipeline.Pipeline) error {
				in.IgnoreUsers = cfg.Identity.Ignore
				in.Sink, in.Validate = backfill{pipe}, pipeline.Validate
				in.OffsetFile = cfg.path(cfg.Spool.Dir) + "-import/offsets.json"
				bar := newBar(cmd.ErrOrStderr(), "importing", -1)
				in.Progress = func(p audit.Progress) {
					if p.Size > 0 && bar.GetMax64() != p.Size {
						bar.ChangeMax64(p.Size)
					}
					_ = bar.Set64(p.Read)
				}
				summary, err := audit.Import(cmd.Context(), in)
				_ = bar.Finish()
				fmt.Fprint(cmd.OutOrStdout(), summary)
				return err
			})
		})
	}
	return cmd
}

// storing runs a pipeline of its own beside the service's, with a spool of its own, until all that was handed to it is in the tables.
func storing(cmd *cobra.Command, cfg *Config, db *warehouse.DB, hand func(*pipeline.Pipeline) error) (pipeline.Stats, error) {
	pipe, err := openPipeline(cmd.Context(), cfg, db, pipelineParts{dir: cfg.path(cfg.Spool.Dir) + "-import", log: quiet(cmd.ErrOrStderr()), now: time.Now})
	if err != nil {
		return pipeline.Stats{}, err
	}
	err = runPipeline(cmd.Context(), pipe, func() error { return hand(pipe) })
	return pipe.Stats(), err
}

// importing stores events, and says how many.
func importing(cmd *cobra.Command, cfg *Config, db *warehouse.DB, hand func(*pipeline.Pipeline) error) error {
	s, err := storing(cmd, cfg, db, hand)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%d events stored, %d were there already\n", s.Inserted, s.Duplicates)
	if s.Quarantined > 0 {
		fmt.Fprintf(cmd.OutOrStdout(), "%d records went to the quarantine: see `kubevalue quarantine list`\n", s.Quarantined)
	}
	return nil
}

// runPipeline runs a pipeline while hand hands records to it, and until all of them are in the tables; then it closes it.
func runPipeline(ctx context.Context, pipe *pipeline.Pipeline, hand func() error) error {
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- pipe.Run(running) }()
	err := hand()
	if err == nil {
		err = pipe.Flush(ctx)
	}
	stop()
	if ended := <-done; ended != nil && !errors.Is(ended, context.Canceled) {
		err = errors.Join(err, ended)
	}
	return errors.Join(err, pipe.Close())
}

// newBar draws progress on a terminal, and nothing elsewhere.
func newBar(w io.Writer, what string, total int64) *progressbar.ProgressBar {
	file, ok := w.(*os.File)
	visible := false
	if ok {
		info, err := file.Stat()
		visible = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return progressbar.NewOptions64(total, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what), progressbar.OptionSetVisibility(visible),
		progressbar.OptionShowBytes(total < 0), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
}
