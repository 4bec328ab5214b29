package main

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubevalue/kubevalue/pipeline"
	"github.com/kubevalue/kubevalue/pipeline/identity"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

// pipelineParts are what differs between the service's pipeline and that of an import.
type pipelineParts struct {
	dir      string
	log      *slog.Logger
	now      func() time.Time
	registry *prometheus.Registry
}

// openPipeline opens a spool in front of the warehouse, with the configured identities, and brings the roster up to date.
func openPipeline(ctx context.Context, cfg *Config, db *warehouse.DB, parts pipelineParts) (*pipeline.Pipeline, error) {
	resolver, err := cfg.resolver(db, parts.now)
	if err != nil {
		return nil, err
	}
	if err := putRoster(ctx, cfg, db, resolver, parts.now()); err != nil {
		return nil, err
	}
	if err := finishErasures(ctx, cfg, db, resolver, parts.log); err != nil {
		parts.log.WarnContext(ctx, "erasures that were interrupted could not be finished: the next start tries again", "error", err)
	}
	return newPipeline(cfg, db, resolver, parts)
}

// newPipeline opens a spool in front of the warehouse.
func newPipeline(cfg *Config, db *warehouse.DB, resolver *identity.Resolver, parts pipelineParts) (*pipeline.Pipeline, error) {
	p := leased(db)
	p.Processor = pipeline.ProcessorConfig{
		Store: db, Identity: resolver, Attributes: cfg.Spool.Attributes, Lateness: time.Duration(cfg.Spool.MaxLateness), Now: parts.now,
	}
	p.Dir, p.MaxBytes, p.Logger = parts.dir, int64(cfg.Spool.MaxBytes), parts.log
	if parts.registry != nil {
		p.Registerer = parts.registry
	}
	return pipeline.New(p)
}

// leased is how those who store into a warehouse take turns: on an embedded engine by a file beside it, on a server by a turn there, which
// ends for one that stalls: what that one has not sent by then is refused. All ids are asked for, whoever else stores there.
func leased(db *warehouse.DB) pipeline.Config {
	if file := db.LocalLease(); file != "" {
		return pipeline.Config{Lease: file, Exclusive: true}
	}
	return pipeline.Config{Turn: db.Turn("store", pipeline.TurnLength(pipeline.DefaultTimeout))}
}

// resolver decides who acted, as configured.
func (c *Config) resolver(store identity.Store, now func() time.Time) (*identity.Resolver, error) {
	keys, err := identity.LoadKeys(c.path(c.Identity.KeyFile))
	if err != nil {
		return nil, err
	}
	return identity.New(identity.Config{
		Rules: identity.Rules{
			Groups:   c.Owners.Groups,
			Machines: compiled(c.Identity.Machines), Shared: compiled(c.Identity.Shared), Prefixes: c.Identity.Prefixes, Same: c.Identity.Same,
		},
		Keys: keys, Store: store, Now: now,
	})
}

// compiled compiles expressions that were checked when the configuration was loaded.
func compiled(patterns []string) []*regexp.Regexp {
	var out []*regexp.Regexp
	for _, p := range patterns {
		out = append(out, regexp.MustCompile(p))
	}
	return out
}

// putRoster writes the configured roster and the capabilities and prices, when they are others than before.
func putRoster(ctx context.Context, cfg *Config, db *warehouse.DB, resolver *identity.Resolver, now time.Time) error {
	var teams []identity.Team
	for _, t := range cfg.Roster {
		from, err := cfg.instant(t.From)
		if err != nil {
			return err
		}
		to, err := cfg.instant(t.To)
		if err != nil {
			return err
		}
		teams = append(teams, identity.Team{Name: t.Team, Members: t.Members, From: from, To: to, Voluntary: t.Voluntary == nil || *t.Voluntary, Persona: t.Persona})
	}
	digest, rows, err := resolver.Roster(ctx, teams)
	if err != nil {
		return fmt.Errorf("roster: %w", err)
	}
	if _, err = db.PutRoster(ctx, digest, now, rows); err != nil {
		return err
	}
	if _, err = db.PutCapabilities(ctx, now, cfg.capabilities()); err != nil {
		return err
	}
	_, err = db.PutPrices(ctx, now, cfg.resourcePrices(), cfg.Costs.Shared)
	return err
}

// backfill is a sink for history: no event is too old for it.
type backfill struct{ *pipeline.Pipeline }

// Append lifts the limit on late events.
func (s backfill) Append(ctx context.Context, b schema.Batch) error {
	b.Backfill = true
	return s.Pipeline.Append(ctx, b)
}
