package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/reports"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/slo"
)

// valueAnswer is the money of a period's availability, against an earlier period and against the objectives.
type valueAnswer struct {
	Period   answerPeriod   `json:"period"`
	With     answerPeriod   `json:"with"`
	Services []serviceValue `json:"services"`
	// Totals are sums over the priced services, by currency.
	Totals []slo.Amount `json:"totals"`
	// Unpriced are the services with objectives and without a price: nothing is guessed about them.
	Unpriced []string `json:"unpriced"`
}

// serviceValue is a priced service, by the minutes of one of its objectives.
type serviceValue struct {
	Objective string  `json:"objective"`
	Target    float64 `json:"target"`
	slo.Value
	// Coverage is the measured share of the slices that were expected, in either period; nil when none was.
	Coverage       *float64 `json:"coverage"`
	CoverageBefore *float64 `json:"coverage_before"`
}

// pricing is the price list of a service, and the objective whose bad minutes are charged.
type pricing struct {
	service, objective string
	prices             []slo.Price
}

// measuredMinutes are the measured minutes of an objective, by quarters of an hour.
type measuredMinutes struct {
	minutes            []slo.Minutes
	measured, expected int64 // slices
}

func (m measuredMinutes) coverage() *float64 {
	if m.expected == 0 {
		return nil
	}
	return new(float64(m.measured) / float64(m.expected))
}

// value computes what the minutes gained and lost were worth, by the definitions in force.
func (s *objectiveSet) value(ctx context.Context, p, with journey.Period) (valueAnswer, error) {
	answer := valueAnswer{Period: s.answerPeriod(p), With: s.answerPeriod(with), Services: []serviceValue{}, Totals: []slo.Amount{}, Unpriced: []string{}}
	defined, err := s.defined(ctx, p, "")
	if err != nil {
		return answer, err
	}
	before, err := s.defined(ctx, with, "")
	if err != nil {
		return answer, err
	}
	for _, o := range defined {
		if !slices.Contains(answer.Unpriced, o.Service) && !slices.ContainsFunc(s.pricing, func(l pricing) bool { return l.service == o.Service }) {
			answer.Unpriced = append(answer.Unpriced, o.Service)
		}
	}
	slices.Sort(answer.Unpriced)
	for _, list := range s.pricing {
		now, err := objectiveNamed(defined, list.objective)
		if err != nil { // it is priced since later
			answer.Unpriced = append(answer.Unpriced, list.service)
			continue
		}
		was, err := objectiveNamed(before, list.objective)
		if err != nil {
			was = nil
		}
		one, err := s.serviceValue(ctx, list, periodMinutes{now, p}, periodMinutes{was, with})
		if err != nil {
			return answer, err
		}
		answer.Services = append(answer.Services, one)
		for _, a := range one.Amounts {
			answer.add(a)
		}
	}
	return answer, nil
}

// worth are the objectives whose minutes are charged, each with the money that its service gained against the period before. Its coverage is
// the share of the period that was measured, had a price, and had something measured to compare it with.
func (s *objectiveSet) worth(ctx context.Context, p journey.Period, _ time.Time) ([]journey.ObjectiveFigure, error) {
	if len(s.pricing) == 0 {
		return nil, nil
	}
	answer, err := s.value(ctx, p, s.calendar.Previous(p))
	var out []journey.ObjectiveFigure
	for _, v := range answer.Services {
		compared, all := -v.UncomparedMinutes, v.UnpricedMinutes
		for _, a := range v.Amounts {
			compared, all = compared+a.MeasuredMinutes, all+a.MeasuredMinutes
		}
		one := journey.ObjectiveFigure{Objective: v.Objective, Service: v.Service, Target: v.Target, Measured: int(math.Round(compared)), Coverage: new(0.0)}
		if compared <= 0 {
			out = append(out, one)
			continue
		}
		if v.Coverage != nil {
			one.Coverage = new(*v.Coverage * compared / all)
		}
		for _, a := range v.Amounts {
			one.Gained, one.Currency = new(a.Gained), a.Currency
			out = append(out, one)
		}
	}
	return out, err
}

// periodMinutes asks for the minutes of an objective, as it was defined, in a period; none when it was not defined.
type periodMinutes struct {
	of     []configuredObjective
	period journey.Period
}

func (a *valueAnswer) add(amount slo.Amount) {
	i := slices.IndexFunc(a.Totals, func(t slo.Amount) bool { return t.Currency == amount.Currency })
	if i < 0 {
		a.Totals = append(a.Totals, amount)
		return
	}
	t := &a.Totals[i]
	t.Loss += amount.Loss
	t.Gained += amount.Gained
	t.GainedMinutes += amount.GainedMinutes
	t.AgainstObjective += amount.AgainstObjective
	t.AgainstObjectiveMinutes += amount.AgainstObjectiveMinutes
	t.MeasuredMinutes += amount.MeasuredMinutes
	t.BadMinutes += amount.BadMinutes
}

func (s *objectiveSet) serviceValue(ctx context.Context, list pricing, now, was periodMinutes) (serviceValue, error) {
	o := now.of[0]
	out := serviceValue{Objective: o.Definition.Name, Target: o.Definition.Target}
	after, err := s.minutes(ctx, now)
	if err != nil {
		return out, err
	}
	before, err := s.minutes(ctx, was)
	if err != nil {
		return out, err
	}
	out.Coverage, out.CoverageBefore = after.coverage(), before.coverage()
	out.Value, err = slo.ValueRequest{
		Service: list.service, Target: o.Definition.Target, Zone: s.calendar.Zone, Period: after.minutes, Before: before.minutes, Prices: list.prices,
	}.Evaluate()
	if err != nil {
		return out, fmt.Errorf("the value of %s: %w", list.service, err)
	}
	return out, nil
}

// minutes are the measured and bad minutes of an objective in what has been measured of a period.
func (s *objectiveSet) minutes(ctx context.Context, asked periodMinutes) (measuredMinutes, error) {
	var out measuredMinutes
	if len(asked.of) == 0 {
		return out, nil
	}
	o := asked.of[0]
	qs, err := s.questionsIn(ctx, asked.of, asked.period)
	if err != nil {
		return out, err
	}
	req := qs[0].req
	period := slo.Interval{From: asked.period.From, To: req.At}
	if !period.From.Before(period.To) {
		return out, nil
	}
	segments := quarters(req, period)
	step := o.Grid.Step
	for _, seg := range segments {
		out.expected += starts(o.Grid, seg)
	}
	rows, err := objectiveSums(ctx, s.store, req.Objective, o.Of, segments)
	if err != nil {
		return out, fmt.Errorf("minutes: %w", err)
	}
	for i, r := range rows {
		out.measured += r.Measured
		if r.Valid == 0 {
			continue
		}
		f := req.Objective.Figures(slo.Tally{Sums: r, Slices: r.Measured}, step, 0)
		out.minutes = append(out.minutes, slo.Minutes{Start: segments[i].From, Measured: float64(r.Valid) * step.Minutes(), Bad: f.BadMinutes})
	}
	return out, nil
}

// quarter is the longest time that lies within one local hour in every zone.
const quarter = 15 * time.Minute

// quarters cuts a period into quarters of an hour, leaving out the slices that are excluded.
func quarters(req slo.Request, period slo.Interval) []schema.Segment {
	var excluded []slo.Interval
	for _, e := range req.Exclusions {
		for _, i := range e.Within(period) {
			to := req.Grid.Floor(i.To)
			if to.Before(i.To) {
				to = to.Add(req.Grid.Step)
			}
			excluded = append(excluded, slo.Interval{From: req.Grid.Floor(i.From), To: to})
		}
	}
	slices.SortFunc(excluded, func(a, b slo.Interval) int { return a.From.Compare(b.From) })
	var out []schema.Segment
	for from := period.From; from.Before(period.To); {
		for len(excluded) > 0 && !excluded[0].To.After(from) {
			excluded = excluded[1:]
		}
		to := from.Truncate(quarter).Add(quarter)
		if to.After(period.To) {
			to = period.To
		}
		if len(excluded) > 0 {
			if !excluded[0].From.After(from) {
				from = excluded[0].To
				continue
			}
			if excluded[0].From.Before(to) {
				to = excluded[0].From
			}
		}
		out = append(out, schema.Segment{From: from, To: to})
		from = to
	}
	return out
}

// starts counts the slices of a grid that start in a segment.
func starts(g slo.Grid, seg schema.Segment) int64 {
	before := func(t time.Time) int64 {
		floor := g.Floor(t)
		n := int64(floor.Sub(g.Origin) / g.Step)
		if floor.Before(t) {
			n++
		}
		return n
	}
	return before(seg.To) - before(seg.From)
}

func sloValueCommand() *cobra.Command {
	var period, with string
	cmd := &cobra.Command{
		Use:   "value",
		Short: "Say what the minutes of availability gained or lost in a period were worth",
		Long: `Values the minutes of a calendar period by the prices of the configuration, hour of the week by hour of the week.

  LOSS               bad minutes x price
  GAINED             what the earlier period's share of bad minutes would have cost in the minutes measured now, less the loss;
                     negative when it got worse
  AGAINST OBJECTIVE  what the bad minutes that the objective allows would have cost, less the loss
  ... (MIN)          the same in minutes of availability, whatever their price

Minutes are those that the tables have now, with the exclusions that hold now, also of a closed period: what was published of its budget
(` + "`kubevalue slo revisions`" + `) may differ. Minutes without a price in force, and hours of the week that the earlier period did not measure, are listed and not guessed. So are
services without any price.`,
		Example: `  kubevalue slo value --period week
  kubevalue slo value --period 2026-10 --with year-ago`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&period, "period", "week", "the period: week, month, quarter (the last that has ended), a label, or current")
	cmd.Flags().StringVar(&with, "with", "previous", "what to compare with: previous, year-ago, or a label")
	return answering(cmd, func(cmd *cobra.Command, f *figures, _ []string) (printable, error) {
		p, other, err := f.objectives.periods(period, with)
		if err != nil {
			return nil, err
		}
		return f.objectives.value(cmd.Context(), p, other)
	})
}

// print writes the answer for a terminal.
func (a valueAnswer) print(out io.Writer) error {
	fmt.Fprintf(out, "%s\nagainst %s\n\n", a.Period, a.With)
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	if len(a.Services) > 0 {
		fmt.Fprintln(w, "SERVICE\tOBJECTIVE\tTARGET\tCURRENCY\tLOSS\tGAINED\tGAINED (MIN)\tAGAINST OBJECTIVE\tAGAINST (MIN)\tBAD (MIN)\tMEASURED (MIN)\tCOVERAGE\tBEFORE")
	}
	for _, s := range a.Services {
		for _, m := range s.Amounts {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Service, s.Objective, reports.Ratio(s.Target), moneyColumns(m), reports.Number(m.BadMinutes), reports.Number(m.MeasuredMinutes),
				optionalText(s.Coverage, reports.Ratio), optionalText(s.CoverageBefore, reports.Ratio))
		}
		if !s.Priced() {
			fmt.Fprintf(w, "%s\t%s\t%s\t-\t-\t-\t-\t-\t-\t-\t-\t%s\t%s\n", s.Service, s.Objective, reports.Ratio(s.Target), optionalText(s.Coverage, reports.Ratio), optionalText(s.CoverageBefore, reports.Ratio))
		}
	}
	for _, t := range a.Totals {
		fmt.Fprintf(w, "all priced\t\t\t%s\t%s\t%s\n", moneyColumns(t), reports.Number(t.BadMinutes), reports.Number(t.MeasuredMinutes))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, s := range a.Services {
		if s.UnpricedMinutes > 0 {
			fmt.Fprintf(out, "%s: no price was in force for %s, of which %s were bad\n", s.Service, reports.Minutes(s.UnpricedMinutes), reports.Minutes(s.UnpricedBad))
		}
		if s.UncomparedMinutes > 0 {
			fmt.Fprintf(out, "%s: %s are not in GAINED, since the earlier period did not measure those hours of the week\n", s.Service, reports.Minutes(s.UncomparedMinutes))
		}
	}
	if len(a.Unpriced) > 0 {
		fmt.Fprintf(out, "without a price, and not guessed: %s\n", strings.Join(a.Unpriced, ", "))
	}
	return nil
}

// moneyColumns are currency, loss, gain and the difference to the objective.
func moneyColumns(a slo.Amount) string {
	return strings.Join([]string{a.Currency, moneyText(a.Loss), signedMoney(a.Gained), reports.Change(a.GainedMinutes, ""), signedMoney(a.AgainstObjective),
		reports.Change(a.AgainstObjectiveMinutes, "")}, "\t")
}

// moneyText writes an amount to the cent.
func moneyText(v float64) string { return fmt.Sprintf("%.2f", v) }

func signedMoney(v float64) string { return strings.Replace(fmt.Sprintf("%+.2f", v), "-", "−", 1) }
