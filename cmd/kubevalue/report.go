package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/reports"
	"github.com/kubevalue/kubevalue/reports/mail"
	"github.com/kubevalue/kubevalue/reports/render"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

func reportCommand() *cobra.Command {
	return group("report", "Build and send the weekly reports",
		`A report is a value of one week for one audience: managers, who decide on the platform, or consumers, who use it. It names no person.`,
		reportBuildCommand(), reportSendCommand())
}

// reportFlags are those that say which report is meant.
type reportFlags struct {
	config         *string
	audience, week string
}

func (f *reportFlags) add(cmd *cobra.Command) {
	f.config = configFlag(cmd)
	cmd.Flags().StringVar(&f.audience, "audience", "managers", "managers or consumers")
	cmd.Flags().StringVar(&f.week, "week", "", "week such as 2026-W46, or \"current\" for the one under way (default: the last complete week)")
}

// with builds the report and hands it over.
func (f *reportFlags) with(cmd *cobra.Command, use func(cfg *Config, db *warehouse.DB, r reports.Report) error) error {
	return withWarehouse(cmd, *f.config, func(cfg *Config, db *warehouse.DB) error {
		if _, err := db.Migrate(cmd.Context()); err != nil {
			return err
		}
		figures, err := newFigures(cfg, db, time.Now)
		if err != nil {
			return err
		}
		r, err := figures.report(cmd.Context(), reports.Audience(f.audience), f.week)
		if err != nil {
			return err
		}
		return use(cfg, db, r)
	})
}

func reportBuildCommand() *cobra.Command {
	var flags reportFlags
	var out string
	cmd := &cobra.Command{
		Use:     "build",
		Short:   "Write a week's report as HTML and plain text",
		Example: "  kubevalue report build --audience managers --week 2026-W46 --out reports",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.with(cmd, func(_ *Config, _ *warehouse.DB, r reports.Report) error {
				files, err := writeReport(out, r)
				for _, f := range files {
					fmt.Fprintln(cmd.OutOrStdout(), f)
				}
				return err
			})
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&out, "out", ".", "directory for the files; made when missing")
	return cmd
}

// writeReport writes weekly-AUDIENCE-WEEK.html and .txt into a directory and returns their paths.
func writeReport(dir string, r reports.Report) ([]string, error) {
	html, err := render.HTML(r)
	if err != nil {
		return nil, fmt.Errorf("render the report: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("write the report: %w", err)
	}
	base := filepath.Join(dir, fmt.Sprintf("weekly-%s-%s", r.Audience, r.Period.Label))
	var files []string
	for _, f := range []struct {
		ext  string
		data []byte
	}{{".html", html}, {".txt", []byte(render.Text(r))}} {
		if err := os.WriteFile(base+f.ext, f.data, 0o644); err != nil {
			return files, fmt.Errorf("write the report: %w", err)
		}
		files = append(files, base+f.ext)
	}
	return files, nil
}

func reportSendCommand() *cobra.Command {
	var flags reportFlags
	var to []string
	var force bool
	cmd := &cobra.Command{
		Use:   "send",
		Short: "Mail a week's report to those who do not have it yet",
		Long: `Mails a report by the configured server to the recipients of its schedules, or to --to. Who has it already gets nothing: a
delivery is keyed by recipient, report and period. --force also repeats deliveries whose end is unknown.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.with(cmd, func(cfg *Config, db *warehouse.DB, r reports.Report) error {
				if len(to) == 0 {
					to = cfg.recipients(flags.audience)
				}
				if len(to) == 0 {
					return fmt.Errorf("nobody gets the report for %s: name recipients with --to, or under reports.schedules", flags.audience)
				}
				return sendReport(cmd, cfg, db, r, mail.Mailing{Recipients: to}, force)
			})
		},
	}
	flags.add(cmd)
	cmd.Flags().StringSliceVar(&to, "to", nil, "recipients (default: those of the schedules)")
	cmd.Flags().BoolVar(&force, "force", false, "repeat deliveries that began and whose end is unknown")
	return cmd
}

func sendReport(cmd *cobra.Command, cfg *Config, db *warehouse.DB, r reports.Report, m mail.Mailing, force bool) error {
	sender, err := cfg.sender(db, quiet(cmd.ErrOrStderr()))
	if err != nil {
		return err
	}
	m.Report, m.Period = r.Name, r.Period.Label
	if m.Message, err = render.Message(r); err != nil {
		return fmt.Errorf("render the report: %w", err)
	}
	outcome, err := sender.Send(cmd.Context(), m, force)
	for _, result := range outcome {
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", result.Recipient, result.Status)
	}
	if err != nil {
		return err
	}
	return outcome.Err()
}

// recipients are those of an audience's schedules.
func (c *Config) recipients(audience string) []string {
	var out []string
	for _, s := range c.Reports.Schedules {
		if s.Audience == audience {
			out = append(out, s.To...)
		}
	}
	return out
}

// scheduler sends the configured reports when they are due.
func (s *service) scheduler() (*mail.Scheduler, error) {
	if len(s.cfg.Reports.Schedules) == 0 {
		return nil, nil
	}
	sender, err := s.cfg.sender(s.db, s.log)
	if err != nil {
		return nil, err
	}
	cfg := mail.SchedulerConfig{Sender: sender, Zone: s.cfg.zone, Now: s.now, Logger: s.log}
	for _, schedule := range s.cfg.Reports.Schedules {
		audience := reports.Audience(schedule.Audience)
		cfg.Jobs = append(cfg.Jobs, mail.Job{
			Report: "weekly/" + schedule.Audience, Spec: schedule.Cron, Recipients: schedule.To,
			Period: func(due time.Time) string { return s.figures.calendar.Last(journey.GrainWeek, 1, due)[0].Label },
			Compose: func(ctx context.Context, period string) (render.Mail, error) {
				r, err := s.figures.report(ctx, audience, period)
				if err != nil {
					return render.Mail{}, err
				}
				return render.Message(r)
			},
		})
	}
	return mail.NewScheduler(cfg)
}
