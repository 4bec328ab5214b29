package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/schema/warehouse"
)

func sloRecomputeCommand() *cobra.Command {
	var from, to string
	var check bool
	cmd := &cobra.Command{
		Use:   "recompute",
		Short: "Compare the sums behind budgets with the slices, and write those that are wrong anew",
		Long: `Slices are the only truth; questions about long periods are answered from sums of their hours and days, which are written together with them. This
compares all sums of a period with what the slices say, day by day (UTC) and with progress, and writes wrong or missing ones anew: after
somebody has worked on the tables by hand, a restored backup, or an insert that was given up half-way. It can be stopped and repeated.
Figures of closed periods that were wrong are revised by ` + "`kubevalue slo publish`" + `.

With --check nothing is written, and the exit code is 1 when sums are wrong.`,
		Example: "  kubevalue slo recompute --check\n  kubevalue slo recompute --from 2026-10-01 --to 2026-11-01",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().StringVar(&from, "from", "", "first date of the period (default: that of the first slice)")
	cmd.Flags().StringVar(&to, "to", "", "end of the period, not part of it (default: the beginning of today)")
	cmd.Flags().BoolVar(&check, "check", false, "compare only")
	return answering(cmd, func(cmd *cobra.Command, f *figures, _ []string) (printable, error) {
		days, err := f.recomputedDays(cmd.Context(), from, to)
		if err != nil {
			return nil, err
		}
		bar := newBar(cmd.ErrOrStderr(), "days compared", int64(len(days)))
		answer, err := recompute(cmd.Context(), f.db.Resum, days, !check, func() { _ = bar.Add(1) })
		_ = bar.Finish()
		return answer, err
	})
}

// sumsDay is the length of the days that are summed, those of UTC.
const sumsDay = 24 * time.Hour

// recomputedDays are the days (UTC) of a period, by their beginnings.
func (f *figures) recomputedDays(ctx context.Context, from, to string) ([]time.Time, error) {
	begin, err := f.cfg.instant(from)
	if err != nil {
		return nil, fmt.Errorf("--from: %w", err)
	}
	end, err := f.cfg.instant(to)
	if err != nil {
		return nil, fmt.Errorf("--to: %w", err)
	}
	if end.IsZero() {
		end = f.now().UTC().Truncate(sumsDay)
	}
	if begin.IsZero() {
		if begin, err = f.db.OldestSlice(ctx); err != nil {
			return nil, err
		}
		if begin.IsZero() {
			return nil, nil
		}
	}
	if from != "" && !begin.Before(end) {
		return nil, fmt.Errorf("--from %s is not before the end of the period, %s", from, end.Format(time.RFC3339))
	}
	var days []time.Time
	for day := begin.UTC().Truncate(sumsDay); day.Before(end); day = day.Add(sumsDay) {
		days = append(days, day)
	}
	return days, nil
}

// recomputedAnswer is what a comparison of sums with slices found.
type recomputedAnswer struct {
	Days     int   `json:"days"`
	Compared int64 `json:"sums_compared"`
	Wrong    int64 `json:"sums_wrong"`
	// Mended says whether the wrong ones were written anew.
	Mended bool `json:"mended"`
	// WrongDays are the days with wrong sums.
	WrongDays []string `json:"wrong_days"`
}

// resumFunc compares the sums of a day, and mends them when it is told to.
type resumFunc func(ctx context.Context, day time.Time, mend bool) (warehouse.Resummed, error)

func recompute(ctx context.Context, resum resumFunc, days []time.Time, mend bool, done func()) (recomputedAnswer, error) {
	out := recomputedAnswer{Mended: mend, WrongDays: []string{}}
	for _, day := range days {
		found, err := resum(ctx, day, mend)
		if err != nil {
			return out, fmt.Errorf("sums of %s: %w", day.Format(time.DateOnly), err)
		}
		out.Days, out.Compared, out.Wrong = out.Days+1, out.Compared+found.Compared, out.Wrong+found.Wrong
		if found.Wrong > 0 {
			out.WrongDays = append(out.WrongDays, day.Format(time.DateOnly))
		}
		done()
	}
	if !mend && out.Wrong > 0 {
		return out, fmt.Errorf("%d of %d sums of hours and days are not those of their slices, on %s: `kubevalue slo recompute` writes them anew", out.Wrong, out.Compared, someOf(out.WrongDays))
	}
	return out, nil
}

// someOf lists a few of many names.
func someOf(names []string) string {
	const shown = 5
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	others := "others"
	if len(names) == shown+1 {
		others = "other"
	}
	return fmt.Sprintf("%s and %d %s", strings.Join(names[:shown], ", "), len(names)-shown, others)
}

// print writes the answer for a terminal.
func (a recomputedAnswer) print(out io.Writer) error {
	if a.Wrong == 0 {
		_, err := fmt.Fprintf(out, "%d days: all %d sums of hours and days are those of their slices\n", a.Days, a.Compared)
		return err
	}
	_, err := fmt.Fprintf(out, "%d days: %d of %d sums of hours and days were wrong and are written anew, on %s\n", a.Days, a.Wrong, a.Compared, someOf(a.WrongDays))
	return err
}
