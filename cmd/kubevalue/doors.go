package main

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/collectors/agent"
	"github.com/kubevalue/kubevalue/collectors/audit"
	"github.com/kubevalue/kubevalue/collectors/usage"
	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/pipeline"
)

// bodyMemory bounds what all request bodies together hold in memory, in bytes: hundreds of usual ones, and one of the largest at a
// time, since what is decoded of a body may take several times its size.
const bodyMemory = 48 << 20

// doors are the handlers of the collectors that are spoken to.
func (s *service) doors() ([]dashboards.Door, error) {
	memory := collectors.NewBodyMemory(bodyMemory)
	auditHandler, err := audit.New(audit.Config{
		Authenticate: s.tokens.Authenticate, Sink: s.pipe, Validate: pipeline.Validate, Memory: memory, Now: s.now,
		Limits: s.cfg.limits(audit.DefaultLimits), IgnoreUsers: s.cfg.Identity.Ignore, Logger: s.log, Registerer: s.registry,
	})
	if err != nil {
		return nil, fmt.Errorf("audit collector: %w", err)
	}
	receiver, err := usage.New(usage.Config{
		Authenticate: s.tokens.Authenticate, Sink: s.pipe, Validate: pipeline.Validate, Memory: memory, Now: s.now,
		Quarantine: s.db.InsertQuarantine, Limits: s.cfg.limits(usage.DefaultLimits), MaxLate: time.Duration(s.cfg.Spool.MaxLateness),
		Logger: s.log, Registerer: s.registry,
	})
	if err != nil {
		return nil, fmt.Errorf("usage collector: %w", err)
	}
	incidents, err := s.incidentReceiver(memory)
	if err != nil {
		return nil, err
	}
	if s.written, err = s.remoteWrite(memory); err != nil {
		return nil, err
	}
	voices, err := s.feedbackDoors(memory)
	if err != nil {
		return nil, err
	}
	return append(slices.Concat(foreignDoors(receiver), s.exclusionDoors(), voices), []dashboards.Door{
		{Method: http.MethodPost, Path: "/api/v1/write", Handler: s.written},
		{Method: http.MethodPost, Path: "/v1/alertmanager", Handler: incidents.Alertmanager()},
		{Method: http.MethodPost, Path: "/v1/incidents", Handler: incidents.Native()},
		{Method: http.MethodPost, Path: "/audit/:cluster", Handler: auditHandler},
		{Method: http.MethodPost, Path: "/v1/events", Handler: receiver.Native()},
		{Method: http.MethodGet, Path: "/v1/events/schema", Handler: receiver.Schema()},
		{Method: http.MethodPost, Path: "/v1/agent", Handler: agent.New(agent.Config{
			Authenticate: s.tokens.Authenticate, Sink: s.pipe, Memory: memory, Limits: s.cfg.limits(agent.DefaultLimits), Owner: s.owners.Owner,
			SliceSeconds: lengthsOf(s.figures.objectives.all).of,
		})},
	}...), nil
}

// foreignDoors are those that clients of other products know. They are called with a final slash or without; a redirect would lose the
// body, so both are mounted.
func foreignDoors(r *usage.Receiver) []dashboards.Door {
	doors := []dashboards.Door{
		{Method: http.MethodPost, Path: "/v1/cloudevents", Handler: r.CloudEvents()},
		{Method: http.MethodOptions, Path: "/v1/cloudevents", Handler: r.CloudEvents()},
	}
	mount := func(paths []string, handler http.Handler) {
		for _, path := range paths {
			for _, slash := range []string{"", "/"} {
				doors = append(doors, dashboards.Door{Method: http.MethodPost, Path: path + slash, Handler: handler})
			}
		}
	}
	mount(usage.SegmentPaths(), r.Segment())
	mount(usage.PostHogPaths(), r.PostHog())
	return doors
}

// limits bound the bodies of a door: as configured on the wire, and unpacked no more than is usual there, or than that.
func (c *Config) limits(usual collectors.BodyLimits) collectors.BodyLimits {
	usual.Wire = int64(c.Server.MaxBody)
	usual.Decoded = max(usual.Decoded, usual.Wire)
	return usual
}
