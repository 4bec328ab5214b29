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

	"github.com/kubevalue/kubevalue/reports/render"
	"github.com/kubevalue/kubevalue/schema"
)

// DeliveryLog remembers what was delivered. What PutDelivery has returned nil for must outlive a crash, and the newest
// record of a (Report, Period, Recipient) is the one that Delivery finds.
type DeliveryLog interface {
	PutDelivery(ctx context.Context, d schema.Delivery) error
	Delivery(ctx context.Context, report, period, recipient string) (schema.Delivery, bool, error)
}

// Mailing is one report of one period, ready for its recipients.
type Mailing struct {
	// Report and Period are the delivery's identity, e.g. "weekly/managers" and "2026-W46".
	Report, Period string
	// Recipients are mail addresses; each gets a mail of its own. Case does not matter, repetitions are dropped.
	Recipients []string
	Message    render.Mail
}

// Status is what became of one recipient in one round.
type Status string

// The states after a round.
const (
	Sent         Status = "sent"         // accepted by the server in this round
	AlreadySent  Status = "already_sent" // accepted in an earlier round
	Failed       Status = "failed"       // not accepted; Result.Err says why
	Unknown      Status = "unknown"      // a conversation began and its end is not known; repeated only when forced
	Waiting      Status = "waiting"      // failed before, and not due again before Result.RetryAt
	GaveUp       Status = "gave_up"      // failed for good, or too often; sent again only when asked
	Unsubscribed Status = "unsubscribed" // asked not to get this report
)

// Result is what became of one recipient.
type Result struct {
	Recipient string
	Status    Status
	// Attempts counts conversations with the server so far, over all rounds.
	Attempts uint32
	// Err is why the recipient has no mail, or why the log does not say that he has.
	Err error
	// RetryAt is when the schedule tries again; the zero time: it does not.
	RetryAt time.Time
}

// Outcome is what became of all recipients, in their order.
type Outcome []Result

// Count is how many recipients are in the state.
func (o Outcome) Count(s Status) int {
	n := 0
	for _, r := range o {
		if r.Status == s {
			n++
		}
	}
	return n
}

// Err joins the errors of all recipients that have no mail; nil: everybody has it, or wants none.
func (o Outcome) Err() error {
	var errs []error
	for _, r := range o {
		if r.Err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.Recipient, r.Err))
		}
	}
	return errors.Join(errs...)
}

// retryAt is the earliest time at which the schedule should try again; the zero time: never.
func (o Outcome) retryAt() time.Time {
	var at time.Time
	for _, r := range o {
		if !r.RetryAt.IsZero() && (at.IsZero() || r.RetryAt.Before(at)) {
			at = r.RetryAt
		}
	}
	return at
}

// Sender sends mailings, one conversation at a time. It is safe for concurrent use within a process; two processes that
// send the same mailing at the same moment could both find it unsent.
type Sender struct {
	cfg    Config
	domain string // of From: the right side of message ids
	relay  *relay
	log    DeliveryLog
	now    func() time.Time
	logger *slog.Logger

	mu sync.Mutex
	// unrecorded holds deliveries that were sent while the log could not be written: the mail is out, the log says "sending".
	unrecorded map[string]schema.Delivery
}

// NewSender checks the configuration and reads the key and certificate files that it names. It does not connect.
func NewSender(cfg Config) (*Sender, error) {
	cfg = cfg.defaults()
	from, err := cfg.check()
	if err != nil {
		return nil, err
	}
	r, err := newRelay(cfg)
	if err != nil {
		return nil, err
	}
	_, domain, _ := strings.Cut(from.Address, "@")
	return &Sender{
		cfg: cfg, domain: strings.ToLower(domain), relay: r, log: cfg.Log, now: cfg.Now, logger: cfg.Logger,
		unrecorded: map[string]schema.Delivery{},
	}, nil
}

// Send sends the mailing now to everybody who does not have it, those whose earlier attempts failed included. With force
// it also repeats deliveries whose end is unknown; what was sent is never sent again. An error means that the round
// ended early (the delivery log cannot be used, or ctx ended): the outcome holds what was done until then. Failures of
// single recipients are in the outcome.
func (s *Sender) Send(ctx context.Context, m Mailing, force bool) (Outcome, error) {
	return s.round(ctx, m, round{asked: true, force: force})
}

// round says which of the recipients without a mail are tried.
type round struct {
	asked bool // somebody asked: failures are tried again at once, however often
	force bool // deliveries whose end is unknown are repeated
}

func (s *Sender) round(ctx context.Context, m Mailing, rd round) (Outcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out Outcome
	line := s.relay.open()
	defer line.close()
	for _, rcpt := range recipients(m.Recipients) {
		if err := ctx.Err(); err != nil {
			return out, fmt.Errorf("sending %s of %s stopped before %s: %w", m.Report, m.Period, rcpt, err)
		}
		d, res, err := s.decide(ctx, m, rcpt, rd)
		if err != nil {
			return out, err
		}
		if res.Status == "" {
			if res, err = s.deliver(ctx, m, d, line); err != nil {
				return append(out, res), err
			}
		}
		out = append(out, res)
	}
	return out, nil
}

// decide finds how far a delivery came. An empty status in the result means: send it.
func (s *Sender) decide(ctx context.Context, m Mailing, rcpt string, rd round) (schema.Delivery, Result, error) {
	key := deliveryKey(m.Report, m.Period, rcpt)
	if d, ok := s.unrecorded[key]; ok {
		res := Result{Recipient: rcpt, Status: AlreadySent, Attempts: d.Attempts}
		if err := s.log.PutDelivery(ctx, d); err != nil {
			return d, res, fmt.Errorf("recording that %s of %s was sent to %s: %w", m.Report, m.Period, rcpt, err)
		}
		delete(s.unrecorded, key)
		return d, res, nil
	}
	fresh := schema.Delivery{Report: m.Report, Period: m.Period, Recipient: rcpt, MessageID: s.messageID(m.Report, m.Period, rcpt)}
	if _, gone, err := s.log.Delivery(ctx, m.Report, unsubscribedPeriod, rcpt); err != nil {
		return fresh, Result{}, fmt.Errorf("reading whether %s wants %s: %w", rcpt, m.Report, err)
	} else if gone {
		return fresh, Result{Recipient: rcpt, Status: Unsubscribed}, nil
	}
	d, found, err := s.log.Delivery(ctx, m.Report, m.Period, rcpt)
	if err != nil {
		return d, Result{}, fmt.Errorf("reading whether %s of %s was sent to %s: %w", m.Report, m.Period, rcpt, err)
	}
	if !found {
		return fresh, Result{}, nil
	}
	return d, s.resume(d, rd), nil
}

// resume says what to do about a delivery that has a record.
func (s *Sender) resume(d schema.Delivery, rd round) Result {
	res := Result{Recipient: d.Recipient, Attempts: d.Attempts}
	switch d.Status {
	case schema.DeliverySent:
		res.Status = AlreadySent
	case schema.DeliverySending:
		if rd.force {
			return Result{}
		}
		res.Status = Unknown
		res.Err = fmt.Errorf("a delivery began at %s and its end is not known%s: ask the recipient, or repeat it with --force",
			d.At.UTC().Format(time.RFC3339), suffix(d.Error))
	case schema.DeliveryFailed:
		if rd.asked {
			return Result{}
		}
		at, again := s.cfg.retryAt(d)
		switch {
		case !again:
			res.Status = GaveUp
			res.Err = fmt.Errorf("given up after %d attempts%s: repeat it with `kubevalue report send`", d.Attempts, suffix(d.Error))
		case s.now().Before(at):
			res.Status, res.RetryAt = Waiting, at
			res.Err = errors.New(d.Error)
		default:
			return Result{}
		}
	}
	return res
}

// deliver has one conversation and writes the log before and after it. The returned error ends the round.
func (s *Sender) deliver(ctx context.Context, m Mailing, d schema.Delivery, line *line) (Result, error) {
	res := Result{Recipient: d.Recipient, Status: Failed, Attempts: d.Attempts}
	msg, err := s.compose(m, d)
	if err != nil {
		d.Attempts++
		return s.fail(ctx, d, res, err)
	}
	if err := line.ready(ctx); err != nil {
		d.Attempts++
		return s.fail(ctx, d, res, err)
	}
	d.Status, d.At, d.Error = schema.DeliverySending, s.now(), ""
	d.Attempts++
	if err := s.log.PutDelivery(ctx, d); err != nil {
		res.Err = fmt.Errorf("nothing was sent, since the delivery log cannot be written: %w", err)
		return res, res.Err
	}
	// From here on the log must learn how it ended, whoever cancels.
	ctx = context.WithoutCancel(ctx)
	err = line.send(ctx, msg)
	if unsure := new(unknownError); errors.As(err, &unsure) {
		d.Error = err.Error()
		res.Status, res.Attempts, res.Err = Unknown, d.Attempts, err
		s.logger.Warn("the end of a delivery is unknown", "report", d.Report, "period", d.Period, "recipient", d.Recipient, "error", err)
		if err := s.log.PutDelivery(ctx, d); err != nil {
			return res, fmt.Errorf("recording the delivery to %s: %w", d.Recipient, err)
		}
		return res, nil
	}
	if err != nil {
		return s.fail(ctx, d, res, err)
	}
	return s.record(ctx, d)
}

// fail records an attempt that the server did not accept.
func (s *Sender) fail(ctx context.Context, d schema.Delivery, res Result, cause error) (Result, error) {
	d.Status, d.At, d.Error = schema.DeliveryFailed, s.now(), cause.Error()
	res.Status, res.Attempts, res.Err = Failed, d.Attempts, cause
	if at, again := s.cfg.retryAt(d); again {
		res.RetryAt = at
	}
	s.logger.Warn("a delivery failed", "report", d.Report, "period", d.Period, "recipient", d.Recipient, "attempts", d.Attempts, "error", cause)
	if err := s.log.PutDelivery(context.WithoutCancel(ctx), d); err != nil {
		return res, fmt.Errorf("recording the failed delivery to %s: %w", d.Recipient, err)
	}
	return res, nil
}

// record writes that a mail was accepted. When the log cannot be written, the sender remembers it and writes it in a later round.
func (s *Sender) record(ctx context.Context, d schema.Delivery) (Result, error) {
	d.Status, d.At = schema.DeliverySent, s.now()
	res := Result{Recipient: d.Recipient, Status: Sent, Attempts: d.Attempts}
	s.logger.Info("report sent", "report", d.Report, "period", d.Period, "recipient", d.Recipient, "message_id", d.MessageID)
	if err := s.log.PutDelivery(ctx, d); err != nil {
		s.unrecorded[deliveryKey(d.Report, d.Period, d.Recipient)] = d
		return res, fmt.Errorf("%s of %s was sent to %s, but the delivery log cannot be written: %w", d.Report, d.Period, d.Recipient, err)
	}
	return res, nil
}

// pending says whether a scheduled round of the mailing would send anything now, and if not, when one would. It costs no report.
func (s *Sender) pending(ctx context.Context, m Mailing) (due bool, waiting Outcome, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rcpt := range recipients(m.Recipients) {
		_, res, err := s.decide(ctx, m, rcpt, round{})
		if err != nil {
			return false, nil, err
		}
		if res.Status == "" {
			due = true
			continue
		}
		waiting = append(waiting, res)
	}
	return due, waiting, nil
}

// recipients normalises addresses and drops repetitions, keeping the order. What is no address stays as it is, and fails alone.
func recipients(list []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, r := range list {
		r = strings.TrimSpace(r)
		if a, err := netmail.ParseAddress(r); err == nil {
			r = strings.ToLower(a.Address)
		}
		if !seen[r] {
			seen[r] = true
			out = append(out, r)
		}
	}
	return out
}

func deliveryKey(report, period, rcpt string) string {
	return report + "\n" + period + "\n" + rcpt
}

func suffix(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}
