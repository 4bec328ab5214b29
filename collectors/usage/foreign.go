package usage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// foreign collects what a request in a foreign protocol holds. Its clients send a batch again until it is answered by a
// success, or give all of it up: so what can never be stored goes to quarantine, and the request succeeds.
type foreign struct {
	r        *Receiver
	protocol string
	q        request
	batch    schema.Batch
	refused  []schema.Quarantined
	tally    tally
	seen     int
	// told are the memberships that the request has told already.
	told map[string]bool
}

func (r *Receiver) newForeign(protocol string, q request) *foreign {
	return &foreign{r: r, protocol: protocol, q: q, tally: tally{}}
}

// event takes an event, or refuses it for err or for what check finds; true: it is taken.
func (f *foreign) event(e schema.Event, raw []byte, err error) bool {
	if err == nil && e.Name == "" {
		err = invalid("the event has no name")
	}
	if err == nil && len(raw) > f.r.cfg.EventBytes {
		err = invalid("%d bytes: want at most %d", len(raw), f.r.cfg.EventBytes)
	}
	if err == nil {
		err = f.r.check(f.q.grant, &e)
	}
	f.tally.add(err)
	if err != nil {
		f.refuse(e, raw, err)
		return false
	}
	f.batch.Events = append(f.batch.Events, e)
	return true
}

// member notes that the actor of an event belongs to a team, from the event's day on. It is one event a day for each actor and team, however
// many events say so: later ones are copies of it.
func (f *foreign) member(e schema.Event, team string) {
	if team == "" || e.Actor == "" {
		return
	}
	said := schema.Event{
		ID: membershipID(e.Actor, team, e.Time), Source: e.Source, Time: e.Time, Received: e.Received, Name: EventGroup, Actor: e.Actor,
		ActorKind: e.ActorKind, Team: team, Outcome: schema.OutcomeSuccess,
	}
	if f.told[said.ID] || f.r.check(f.q.grant, &said) != nil { // the event itself was refused for it
		return
	}
	if f.told == nil {
		f.told = map[string]bool{}
	}
	f.told[said.ID] = true
	f.batch.Events = append(f.batch.Events, said)
}

func membershipID(actor, team string, at time.Time) string {
	key := sha256.Sum256([]byte(actor + "\x00" + team + "\x00" + at.UTC().Format(time.DateOnly)))
	return "group/" + hex.EncodeToString(key[:])
}

// alias takes a merge of two identities; one of an identity with itself says nothing.
func (f *foreign) alias(a schema.Alias, raw []byte) {
	const longest = 1024
	if len(a.From) > longest || len(a.To) > longest {
		f.malformed(raw, invalid("the names are longer than %d bytes", longest))
		return
	}
	f.tally.add(nil)
	if a.From != "" && a.To != "" && a.From != a.To {
		f.batch.Aliases = append(f.batch.Aliases, a)
	}
}

// malformed refuses what could not be made into an event.
func (f *foreign) malformed(raw []byte, err error) {
	f.tally.add(err)
	f.refuse(schema.Event{}, raw, err)
}

// refuse keeps a record for quarantine: as the event that it would have been, or as it came.
func (f *foreign) refuse(e schema.Event, raw []byte, err error) {
	const mostBytes = 64 << 10
	row := schema.Quarantined{
		ID: schema.EventID(f.q.grant.Source, f.protocol+string(raw)), Time: f.q.received, Source: f.q.grant.Source,
		Kind: "message", Reason: f.protocol + ": " + err.Error(), Payload: string(raw[:min(len(raw), mostBytes)]),
	}
	if e.Name != "" {
		if payload, err := encode(e); err == nil && len(payload) <= mostBytes {
			row.Kind, row.Payload = "event", payload
		}
	}
	f.refused = append(f.refused, row)
}

func encode(record any) (string, error) {
	payload, err := json.Marshal(record)
	return string(payload), err
}

// next counts an event of the request; it fails when there are too many.
func (f *foreign) next() error {
	f.seen++
	if f.seen > f.r.cfg.MaxEvents {
		return f.r.errTooMany()
	}
	return nil
}

// finish hands everything over: first what is good, since a repeated request changes nothing of that.
func (f *foreign) finish(ctx context.Context) error {
	err := f.r.store(ctx, f.q.grant, f.batch)
	var refused *collectors.BatchError
	if errors.As(err, &refused) {
		f.drop(refused)
		err = f.r.append(ctx, f.q.grant, f.batch)
	}
	if err != nil {
		return err
	}
	if len(f.refused) > 0 && f.r.cfg.Quarantine != nil {
		if err := f.r.cfg.Quarantine(ctx, f.refused); err != nil {
			return err
		}
		f.r.quarantined.WithLabelValues(f.protocol).Add(float64(len(f.refused)))
	}
	f.r.count(f.protocol, f.tally)
	return nil
}

// drop moves what the sink refuses from the batch to quarantine.
func (f *foreign) drop(refused *collectors.BatchError) {
	events, aliases := map[int]error{}, map[int]error{}
	for _, record := range refused.Records {
		if record.Kind == "alias" {
			aliases[record.Index] = record.Err
		} else {
			events[record.Index] = record.Err
		}
	}
	var kept schema.Batch
	for i, e := range f.batch.Events {
		if err := events[i]; err != nil {
			f.refuse(e, nil, err)
		} else {
			kept.Events = append(kept.Events, e)
		}
	}
	for i, a := range f.batch.Aliases {
		if err := aliases[i]; err != nil {
			payload, _ := encode(a)
			f.refuse(schema.Event{}, []byte(payload), err)
		} else {
			kept.Aliases = append(kept.Aliases, a)
		}
	}
	f.batch = kept
}

// openKeyed opens a request whose key is in a header, or else in its body, where find looks for it.
func (r *Receiver) openKeyed(w http.ResponseWriter, hr *http.Request, key, endpoint string, find func(body []byte) string) (request, error) {
	if key != "" {
		return r.open(w, hr, key, endpoint)
	}
	body, release, err := r.read(w, hr)
	if err != nil {
		return request{}, err
	}
	grant, err := r.cfg.Authenticate(hr.Context(), find(body), endpoint)
	if err != nil {
		release()
		return request{}, err
	}
	return request{grant: grant, received: r.cfg.Now().UTC(), body: body, release: release}, nil
}
