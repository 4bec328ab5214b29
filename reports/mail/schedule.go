package mail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	netmail "net/mail"
	"strings"
	"sync"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/kubevalue/kubevalue/reports/render"
)

// Job is a report that is sent by schedule.
type Job struct {
	// Report is the delivery's name, e.g. "weekly/managers".
	Report string
	// Spec is a cron expression of five fields in the scheduler's zone, e.g. "0 7 * * MON", or @weekly and the like. In the
	// hour that a change of clocks leaves out it fires after it, in the hour that comes twice it fires once.
	Spec       string
	Recipients []string
	// Period names the period that is reported at a due time, e.g. the last complete week.
	Period func(due time.Time) string
	// Compose builds and renders the report of a period.
	Compose func(ctx context.Context, period string) (render.Mail, error)
}

// SchedulerConfig says what is sent when.
type SchedulerConfig struct {
	Sender *Sender
	Jobs   []Job
	// Zone is the reporting time zone; nil: UTC.
	Zone *time.Location
	// CatchUp is how long after its due time a report is still sent when nothing ran then; 0 means three days.
	CatchUp time.Duration
	// Now is the clock; nil: time.Now.
	Now    func() time.Time
	Logger *slog.Logger
}

// Scheduler sends reports when they are due, repeats what failed, and catches up on what was missed.
type Scheduler struct {
	cfg       SchedulerConfig
	schedules []cron.Schedule
}

// NewScheduler checks the jobs; the error names every fault.
func NewScheduler(cfg SchedulerConfig) (*Scheduler, error) {
	if cfg.Zone == nil {
		cfg.Zone = time.UTC
	}
	if cfg.CatchUp == 0 {
		cfg.CatchUp = 72 * time.Hour
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Scheduler{cfg: cfg}
	var errs []error
	for _, job := range cfg.Jobs {
		schedule, err := parseSpec(job.Spec)
		if err != nil {
			errs = append(errs, fmt.Errorf("report %s: %w", job.Report, err))
		}
		for _, rcpt := range job.Recipients {
			if _, err := netmail.ParseAddress(rcpt); err != nil {
				errs = append(errs, fmt.Errorf("report %s: recipient %q is no mail address: %w", job.Report, rcpt, err))
			}
		}
		s.schedules = append(s.schedules, schedule)
	}
	return s, errors.Join(errs...)
}

// parseSpec accepts what has due times that a restart finds again; "every 5 minutes since the start" has none.
func parseSpec(spec string) (cron.Schedule, error) {
	if strings.HasPrefix(spec, "@every") || strings.Contains(spec, "TZ=") {
		return nil, fmt.Errorf(`schedule %q: give times of the reporting time zone, such as "0 7 * * MON"; @every and TZ= are not accepted`, spec)
	}
	schedule, err := cron.ParseStandard(spec)
	if err != nil {
		return nil, fmt.Errorf(`schedule %q: %w; write minute, hour, day of month, month, day of week, such as "0 7 * * MON"`, spec, err)
	}
	return schedule, nil
}

// Next is when the report is due next after now; the zero time: never, or no such job.
func (s *Scheduler) Next(report string, now time.Time) time.Time {
	for i, job := range s.cfg.Jobs {
		if job.Report == report {
			return s.schedules[i].Next(now.In(s.cfg.Zone))
		}
	}
	return time.Time{}
}

// Run sends what is due until ctx ends; it then finishes the conversation that it is in. Its error is ctx's.
func (s *Scheduler) Run(ctx context.Context) error {
	var running sync.WaitGroup
	for i := range s.cfg.Jobs {
		running.Go(func() { s.runJob(ctx, s.cfg.Jobs[i], s.schedules[i]) })
	}
	<-ctx.Done()
	running.Wait()
	return ctx.Err()
}

func (s *Scheduler) runJob(ctx context.Context, job Job, schedule cron.Schedule) {
	due := s.lastDue(schedule, s.cfg.Now())
	failures := uint32(0)
	for ctx.Err() == nil {
		var retry time.Time
		if !due.IsZero() {
			var err error
			if retry, err = s.attempt(ctx, job, due); err != nil && ctx.Err() == nil {
				failures++
				retry = s.cfg.Now().Add(backoff(failures))
				s.cfg.Logger.Error("a report could not be sent", "report", job.Report, "period", job.Period(due), "retry_at", retry, "error", err)
			} else {
				failures = 0
			}
			if !retry.IsZero() && retry.Sub(due) > s.cfg.CatchUp {
				s.cfg.Logger.Error("a report is given up, its time is over", "report", job.Report, "period", job.Period(due), "due", due)
				retry = time.Time{}
			}
		}
		next := schedule.Next(s.cfg.Now().In(s.cfg.Zone))
		wake := next
		if !retry.IsZero() && (next.IsZero() || retry.Before(next)) {
			wake = retry
		}
		if !s.sleepUntil(ctx, wake) {
			return
		}
		if wake.Equal(next) {
			due, failures = next, 0
		}
	}
}

// attempt sends what is missing of the report that was due, and says when to try the rest; the zero time: nothing is left.
func (s *Scheduler) attempt(ctx context.Context, job Job, due time.Time) (retry time.Time, err error) {
	m := Mailing{Report: job.Report, Period: job.Period(due), Recipients: job.Recipients}
	now, out, err := s.cfg.Sender.pending(ctx, m)
	if err != nil {
		return time.Time{}, err
	}
	if now {
		if m.Message, err = job.Compose(ctx, m.Period); err != nil {
			return time.Time{}, fmt.Errorf("building it: %w", err)
		}
		if out, err = s.cfg.Sender.round(ctx, m, round{}); err != nil {
			return time.Time{}, err
		}
	}
	for _, r := range out {
		if r.Status == Unknown || r.Status == GaveUp {
			s.cfg.Logger.Warn("a recipient may not have the report", "report", m.Report, "period", m.Period, "recipient", r.Recipient, "status", r.Status, "error", r.Err)
		}
	}
	return out.retryAt(), nil
}

// lastDue is the last due time at or before now that is not older than CatchUp; the zero time: there is none.
func (s *Scheduler) lastDue(schedule cron.Schedule, now time.Time) time.Time {
	var last time.Time
	t := schedule.Next(now.Add(-s.cfg.CatchUp).In(s.cfg.Zone))
	for !t.IsZero() && !t.After(now) {
		last, t = t, schedule.Next(t)
	}
	return last
}

// sleepUntil waits for a wall-clock time. It looks at the clock every minute, since a machine that slept, or whose clock was
// set, would else be late. It returns false when ctx ended, and waits for that when at is the zero time.
func (s *Scheduler) sleepUntil(ctx context.Context, at time.Time) bool {
	for {
		wait := time.Minute
		if !at.IsZero() {
			left := at.Sub(s.cfg.Now())
			if left <= 0 {
				return ctx.Err() == nil
			}
			wait = min(wait, left)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
		}
	}
}
