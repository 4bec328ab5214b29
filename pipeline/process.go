package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/pipeline/identity"
	"github.com/kubevalue/kubevalue/schema"
)

// Store is what the pipeline needs of the warehouse. Inserts with a token land once, however often they are repeated with
// the same rows. An error that has a method Permanent() bool that returns true says that these rows can never be stored;
// any other is worth another try.
type Store interface {
	identity.Store
	// InsertEvents fails when the block arrives at Until or later, however it got late; it is then worth another try under the same token.
	InsertEvents(ctx context.Context, b schema.EventBlock) error
	SeenEventIDs(ctx context.Context, ids []uuid.UUID, since time.Time) (map[uuid.UUID]struct{}, error)
	InsertEventIDs(ctx context.Context, token string, ids []uuid.UUID, received []time.Time) error
	// CountEventIDs and EventIDs tell of all ids that were received at since or later, and maybe of older ones; EventIDs gives the first
	// eight bytes of each as a big-endian number.
	CountEventIDs(ctx context.Context, since time.Time) (int, error)
	EventIDs(ctx context.Context, since time.Time, each func(halves []uint64)) error
	InsertSlices(ctx context.Context, token string, rows []schema.Slice) error
	InsertIncidents(ctx context.Context, token string, rows []schema.Incident) error
	InsertFeedback(ctx context.Context, token string, rows []schema.Feedback) error
	InsertConsumption(ctx context.Context, token string, rows []schema.Consumption) error
	InsertResourceChanges(ctx context.Context, token string, rows []schema.ResourceChange) error
	InsertQuarantine(ctx context.Context, rows []schema.Quarantined) error
	// Query reads; replicas find out with it what another one that died has left half done.
	Query(ctx context.Context, sql string, params map[string]any) (schema.Result, error)
}

// DedupWindow is how long an event is known by its id: a copy that is received later than that is a new event.
const DedupWindow = 7 * 24 * time.Hour

// ProcessorConfig is what a Processor is made of.
type ProcessorConfig struct {
	Store    Store
	Identity *identity.Resolver
	// Attributes are the keys of event attributes that are kept; the others are dropped.
	Attributes []string
	// Lateness is how long before its receipt an event may have happened, unless its batch is Backfill; 0: any time.
	Lateness time.Duration
	// ClockSkew is by how much a sender's clock may be ahead before its events are marked as clamped.
	ClockSkew time.Duration
	// Now is the clock; nil: the system's.
	Now func() time.Time
}

// Processor is the inner part of the drainer: it takes batches as they were received, and leaves each event in the tables
// once. What it keeps between two batches only spares it questions, so that a batch can be repeated after a crash at any moment. It does
// one batch at a time.
type Processor struct {
	cfg  ProcessorConfig
	keep map[string]bool
	seen seen
	// ids and at are room for use again.
	ids []uuid.UUID
	at  []time.Time
}

// NewProcessor makes a Processor.
func NewProcessor(cfg ProcessorConfig) *Processor {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	keep := make(map[string]bool, len(cfg.Attributes))
	for _, k := range cfg.Attributes {
		keep[k] = true
	}
	return &Processor{cfg: cfg, keep: keep, seen: seen{store: cfg.Store, now: cfg.Now}}
}

// Outcome counts what became of a batch.
type Outcome struct {
	// Events were stored, Duplicates dropped: they, or a copy, are in the tables already.
	Events, Duplicates                            int
	Slices, Aliases, Incidents, Changes, Feedback int
	Consumption                                   int
	// Quarantined can never be stored.
	Quarantined int
}

// Process stores a batch under a token that is its own for ever: repeated with the same token and the same records, it
// changes nothing. Of several copies of an event the one received first is stored. A batch with records that can never be
// stored is refused with a *collectors.BatchError before anything is; what only the warehouse finds out goes to quarantine.
func (p *Processor) Process(ctx context.Context, token string, b schema.Batch) (Outcome, error) {
	return p.process(ctx, token, b, true) // maybe
}

// ProcessNew is Process under a token that nobody has ever tried.
func (p *Processor) ProcessNew(ctx context.Context, token string, b schema.Batch) (Outcome, error) {
	return p.process(ctx, token, b, false)
}

func (p *Processor) process(ctx context.Context, token string, b schema.Batch, repeated bool) (Outcome, error) {
	now := p.cfg.Now()
	if bad := (door{p.cfg.Lateness, now}).check(&b); len(bad) > 0 {
		return Outcome{}, &collectors.BatchError{Records: bad}
	}
	var r run
	r.reset()
	r.repeated = repeated
	p.add(&r, staged{batch: uuid.NewSHA1(uuid.NameSpaceOID, []byte(token)), at: now}, &b)
	return p.insert(ctx, &inserter{token: token, run: &r, again: func(side) (*schema.Event, error) { return nil, errors.New("the batch is gone") }})
}

// insert makes one attempt to store a run; repeated with the same token and the same run, it goes on where it failed.
func (p *Processor) insert(ctx context.Context, in *inserter) (Outcome, error) {
	r, token := in.run, in.token
	in.p, in.bad = p, slices.Clone(r.bad)
	out := Outcome{Duplicates: r.copies, Slices: len(r.slices), Aliases: len(r.aliases), Incidents: len(r.incidents), Changes: len(r.changes), Feedback: len(r.feedback), Consumption: len(r.consumption)}
	// Aliases come first, so that nobody sees their events apart.
	if len(r.aliases) > 0 {
		if err := p.cfg.Identity.Merge(ctx, r.aliases); err != nil {
			return out, err
		}
	}
	if err := in.events(ctx); err != nil {
		return out, err
	}
	if err := in.slices(ctx); err != nil {
		return out, err
	}
	if err := insertAll(ctx, in, kindIncident, whole(token+"/incidents", r.incidents), p.cfg.Store.InsertIncidents); err != nil {
		return out, err
	}
	if err := insertAll(ctx, in, kindFeedback, whole(token+"/feedback", r.feedback), p.cfg.Store.InsertFeedback); err != nil {
		return out, err
	}
	if err := insertAll(ctx, in, kindConsumption, whole(token+"/consumption", r.consumption), p.cfg.Store.InsertConsumption); err != nil {
		return out, err
	}
	if err := in.changes(ctx); err != nil {
		return out, err
	}
	if len(in.bad) > 0 {
		if err := p.cfg.Store.InsertQuarantine(ctx, in.bad); err != nil {
			return out, err
		}
	}
	out.Events, out.Duplicates, out.Quarantined = r.fresh-in.badEvents, r.copies+r.seen, len(in.bad)
	return out, nil
}

// inserter is one attempt.
type inserter struct {
	p     *Processor
	run   *run
	token string
	// until is when the warehouse is to take no more events of this attempt; zero: it may always.
	until time.Time
	// again finds the event of a row, for the quarantine.
	again     func(side) (*schema.Event, error)
	bad       []schema.Quarantined
	badEvents int
	refused   map[uuid.UUID]bool
}

// events stores the events that are not known yet: look the ids up, insert the events, then their ids. A crash between the
// two leaves events without ids, whose repetition carries the same token.
func (in *inserter) events(ctx context.Context) error {
	r := in.run
	if len(r.rows) == 0 {
		return nil
	}
	if err := in.forget(ctx); err != nil {
		return err
	}
	actors, err := in.p.cfg.Identity.Resolve(ctx, r.names)
	if err != nil {
		return err
	}
	for i := range r.rows {
		name := r.side[i].name
		if name < 0 {
			continue
		}
		if r.rows[i].Actor = actors[name]; actors[name] == 0 {
			anonymise(&r.rows[i])
		}
	}
	insert := func(ctx context.Context, token string, rows []schema.StoredEvent) error {
		return in.p.cfg.Store.InsertEvents(ctx, schema.EventBlock{Token: token, New: r.asked == 1 && !r.repeated, Until: in.until, Rows: rows})
	}
	for _, s := range stretches(len(r.rows), func(i int) int { return month(r.rows[i].Time) }) {
		b := block[schema.StoredEvent]{
			token: fmt.Sprintf("%s/events/%d", in.token, month(r.rows[s[0]].Time)), rows: r.rows[s[0]:s[1]],
			at: func(i int) int { return int(r.side[s[0]+i].at) },
		}
		if err := insertAll(ctx, in, kindEvent, b, insert); err != nil {
			return err
		}
	}
	return in.ids(ctx)
}

// anonymise takes from an event of an erased person what could tell them: it stays for the counts.
func anonymise(row *schema.StoredEvent) {
	row.ActorKind, row.Object, row.Attributes = schema.ActorUnknown, "", nil
}

// forget drops the events that the warehouse knows.
func (in *inserter) forget(ctx context.Context) error {
	r := in.run
	if r.asked == 0 {
		r.arrange()
	}
	ids, since := slices.Grow(in.p.ids[:0], len(r.rows)), r.rows[0].Received
	in.p.ids = ids
	for i := range r.rows {
		ids = append(ids, r.rows[i].ID)
		if r.rows[i].Received.Before(since) {
			since = r.rows[i].Received
		}
	}
	since = since.Add(-DedupWindow)
	doubtful := ids
	if r.asked == 0 && !r.repeated {
		doubtful = in.p.seen.ask(ids, since)
	}
	in.p.seen.add(ids)
	if len(doubtful) > 0 {
		known, err := in.p.cfg.Store.SeenEventIDs(ctx, doubtful, since)
		if err != nil {
			return err
		}
		r.drop(known)
	}
	if r.asked++; r.asked == 1 {
		r.fresh, r.seen = len(r.rows), len(ids)-len(r.rows)
	}
	return nil
}

// daysPerBlock bounds the partitions of a block of ids.
const daysPerBlock = 50

// ids notes the stored events as seen, sorted by day of receipt.
func (in *inserter) ids(ctx context.Context) error {
	r := in.run
	var days []idsOfDay
	for i := range r.rows {
		if in.refused[r.rows[i].ID] {
			continue
		}
		day := r.rows[i].Received.Unix() / secondsOfDay
		k := slices.IndexFunc(days, func(d idsOfDay) bool { return d.day == day })
		if k < 0 {
			k = len(days)
			days = append(days, idsOfDay{day: day})
			if k == 0 { // nearly all are of one day
				days[k].ids, days[k].at = slices.Grow(in.p.ids[:0], len(r.rows)), slices.Grow(in.p.at[:0], len(r.rows))
				in.p.ids, in.p.at = days[k].ids, days[k].at
			}
		}
		days[k].ids, days[k].at = append(days[k].ids, r.rows[i].ID), append(days[k].at, r.rows[i].Received)
	}
	for some := range slices.Chunk(days, daysPerBlock) {
		d := some[0]
		for _, more := range some[1:] {
			d.ids, d.at = append(d.ids, more.ids...), append(d.at, more.at...)
		}
		token := in.token + "/ids/" + time.Unix(d.day*secondsOfDay, 0).UTC().Format(time.DateOnly)
		if err := in.p.cfg.Store.InsertEventIDs(ctx, token, d.ids, d.at); err != nil {
			return err
		}
	}
	return nil
}

const secondsOfDay = 24 * 60 * 60

// idsOfDay are ids that were received on one day, counted from 1970.
type idsOfDay struct {
	day int64
	ids []uuid.UUID
	at  []time.Time
}

func (in *inserter) slices(ctx context.Context) error {
	list := in.run.slices
	slices.SortStableFunc(list, func(a, b schema.Slice) int { return cmp.Compare(month(a.Start), month(b.Start)) })
	for _, s := range stretches(len(list), func(i int) int { return month(list[i].Start) }) {
		b := whole(fmt.Sprintf("%s/slices/%d", in.token, month(list[s[0]].Start)), list[s[0]:s[1]])
		if err := insertAll(ctx, in, kindSlice, b, in.p.cfg.Store.InsertSlices); err != nil {
			return err
		}
	}
	return nil
}

// changes are inserted month by month: what an agent tells of may lie years back, and one block may not have too many partitions.
func (in *inserter) changes(ctx context.Context) error {
	list := in.run.changes
	slices.SortStableFunc(list, func(a, b schema.ResourceChange) int { return cmp.Compare(month(a.Time), month(b.Time)) })
	for _, s := range stretches(len(list), func(i int) int { return month(list[i].Time) }) {
		b := whole(fmt.Sprintf("%s/changes/%d", in.token, month(list[s[0]].Time)), list[s[0]:s[1]])
		if err := insertAll(ctx, in, kindChange, b, in.p.cfg.Store.InsertResourceChanges); err != nil {
			return err
		}
	}
	return nil
}

// block is rows of one partition that are inserted under one token.
type block[T any] struct {
	token string
	rows  []T
	// at is the place of row i in the run: it does not change when rows before it are left out.
	at func(i int) int
}

func whole[T any](token string, rows []T) block[T] {
	return block[T]{token: token, rows: rows, at: func(i int) int { return i }}
}

// insertAll inserts a block. When the warehouse will never take it, the block is cut in half until the rows at fault are
// found, and these go to quarantine. The halves are cut, and their tokens named, by places in the run, so that another
// attempt cuts the same halves although it may have fewer rows.
func insertAll[T any](ctx context.Context, in *inserter, kind string, b block[T], insert func(context.Context, string, []T) error) error {
	if len(b.rows) == 0 {
		return nil
	}
	err := insert(ctx, b.token, b.rows)
	if !permanent(err) {
		return err
	}
	low, high := b.at(0), b.at(len(b.rows)-1)
	if low == high {
		return in.refuse(kind, b.rows[0], low, err)
	}
	size := 1
	for size < high+1 {
		size *= 2
	}
	return halve(ctx, in, kind, cutBlock[T]{block: b, from: 0, to: size, refusal: err}, insert)
}

// cutBlock is a block whose rows lie at places in [from, to), a power of two apart, and were refused as a whole.
type cutBlock[T any] struct {
	block[T]
	from, to int
	refusal  error
}

func halve[T any](ctx context.Context, in *inserter, kind string, b cutBlock[T], insert func(context.Context, string, []T) error) error {
	if b.to-b.from == 1 {
		return in.refuse(kind, b.rows[0], b.from, b.refusal)
	}
	middle := (b.from + b.to) / 2
	n := 0
	for n < len(b.rows) && b.at(n) < middle {
		n++
	}
	token := b.token
	for _, half := range []cutBlock[T]{
		{block: block[T]{rows: b.rows[:n], at: b.at}, from: b.from, to: middle},
		{block: block[T]{rows: b.rows[n:], at: func(i int) int { return b.at(n + i) }}, from: middle, to: b.to},
	} {
		if len(half.rows) == 0 {
			continue
		}
		half.token = token
		err := insert(ctx, fmt.Sprintf("%s/%d-%d", token, half.from, half.to), half.rows)
		if half.refusal = err; permanent(err) {
			err = halve(ctx, in, kind, half, insert)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// permanent says whether the warehouse will never take these rows.
func permanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

// refuse keeps a record that the warehouse will never take.
func (in *inserter) refuse(kind string, row any, place int, why error) error {
	source := ""
	id := uuid.NewSHA1(uuid.NameSpaceOID, []byte(in.token))
	if e, ok := row.(schema.StoredEvent); ok {
		in.badEvents++
		if in.refused == nil {
			in.refused = map[uuid.UUID]bool{}
		}
		in.refused[e.ID] = true
		source = e.Source
		for i := range in.run.rows {
			if in.run.rows[i].ID != e.ID {
				continue
			}
			if original, err := in.again(in.run.side[i]); err == nil {
				row = original
			}
		}
	}
	in.bad = append(in.bad, quarantined(staged{batch: id, at: in.run.at}, refusal{kind: kind, index: place, source: source, why: why}, row))
	return nil
}

// refusal says which record of a batch can never be stored.
type refusal struct {
	kind, source string
	index        int
	why          error
}

// quarantined is the row for a record that can never be stored. Its id and time are the same whenever the record is met again.
func quarantined(from staged, f refusal, record any) schema.Quarantined {
	payload, err := json.Marshal(record)
	if err != nil { // a number that JSON does not have
		payload = fmt.Appendf(nil, "%q", fmt.Sprintf("%+v", record))
	}
	return schema.Quarantined{
		ID: uuid.NewSHA1(from.batch, []byte(f.kind+"/"+strconv.Itoa(f.index))), Time: from.at.UTC(), Source: f.source, Kind: f.kind,
		Reason: f.why.Error(), Payload: string(payload),
	}
}
