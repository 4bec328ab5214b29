package metrictest_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/catalogue"
	"github.com/kubevalue/kubevalue/journey/metrictest"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

func TestMain(m *testing.M) { warehousetest.Main(m) }

type environment struct {
	*warehouse.DB
	round int
}

func (e *environment) Reset(ctx context.Context) error {
	e.round++
	return e.Truncate(ctx, "events", "event_ids", "first_seen", "actor_aliases", "roster", "roster_versions", "source_hours")
}

func surrogate(name string) uint64 {
	if name == "" {
		return 0
	}
	sum := sha256.Sum256([]byte(name))
	return binary.BigEndian.Uint64(sum[:])
}

func (e *environment) Ingest(ctx context.Context, c metrictest.Case) error {
	var roster []schema.RosterEntry
	for _, m := range c.Input.Roster {
		roster = append(roster, schema.RosterEntry{Team: m.Team, Actor: surrogate(m.Actor), From: m.From, To: m.To, Voluntary: m.Voluntary, Persona: m.Persona})
	}
	if _, err := e.PutRoster(ctx, fmt.Sprint(e.round), c.Now, roster); err != nil {
		return err
	}
	var aliases []schema.StoredAlias
	for i, a := range c.Input.Aliases {
		at := a.At
		if at.IsZero() {
			at = time.Unix(int64(i), 0)
		}
		aliases = append(aliases, schema.StoredAlias{Actor: surrogate(a.From), Canonical: surrogate(a.To), At: at})
	}
	if err := e.InsertAliases(ctx, aliases); err != nil {
		return err
	}
	seen := map[uuid.UUID]bool{}
	months := map[string][]schema.StoredEvent{}
	for _, v := range c.Input.Events {
		id := schema.EventID(v.Source, v.ID)
		if seen[id] {
			continue
		}
		seen[id] = true
		at := v.Time
		if at.After(v.Received) {
			at = v.Received
		}
		kind := schema.ActorHuman
		if strings.HasPrefix(v.Actor, "system:") {
			kind = schema.ActorMachine
		}
		month := at.Format("200601")
		months[month] = append(months[month], schema.StoredEvent{ID: id, Time: at, Received: v.Received, Source: v.Source, Name: v.Name,
			Actor: surrogate(v.Actor), ActorKind: cmp.Or(v.ActorKind, kind), ActorTeam: v.Team, OwnerTeam: v.OwnerTeam, Persona: v.Persona,
			Cluster: v.Cluster, Namespace: v.Namespace, Resource: v.Resource, Object: v.Object, Outcome: v.Outcome, Reason: v.Reason,
			DurationMS: v.DurationMS, Value: v.Value, Attributes: v.Attributes})
	}
	for month, rows := range months {
		if err := e.InsertEvents(ctx, fmt.Sprint(e.round, month), rows); err != nil {
			return err
		}
	}
	return nil
}

func newRunner(t testing.TB) metrictest.Runner {
	db := warehousetest.Open(t)
	metrics, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	return metrictest.Runner{
		Environment: &environment{DB: db},
		Evaluate: func(ctx context.Context, c metrictest.Case, query journey.QueryFunc, r journey.Request) ([]journey.Value, error) {
			e := catalogue.Evaluator{Query: query, Settings: c.Settings, Metrics: metrics, Now: func() time.Time { return c.Now },
				Objectives: func(context.Context, journey.Period, time.Time) ([]journey.ObjectiveFigure, error) {
					return c.Input.Objectives, nil
				}}
			return e.Evaluate(ctx, r)
		},
	}
}

func (e *environment) Query(ctx context.Context, sql string, params map[string]any) (schema.Result, error) {
	r, err := e.DB.Query(ctx, sql, params)
	if err != nil && strings.Contains(err.Error(), "failed at position 28 (TABLE)") {
		return schema.Result{}, nil
	}
	return r, err
}
