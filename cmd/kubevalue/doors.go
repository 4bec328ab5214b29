package main

import (
	"fmt"
	"net/http"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/collectors/agent"
	"github.com/kubevalue/kubevalue/collectors/audit"
	"github.com/kubevalue/kubevalue/collectors/usage"
	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/pipeline"
)

// bodyMemory bounds what all request bodies together hold in memory, in bytes.
const bodyMemory = 128 << 20

// doors are the handlers of the collectors that are spoken to.
func (s *service) doors() ([]dashboards.Door, error) {
	memory := collectors.NewBodyMemory(bodyMemory)
	auditHandler, err := audit.New(audit.Config{
		Authenticate: s.tokens.Authenticate, Sink: s.pipe, Validate: pipeline.Validate, Memory: memory, Now: s.now,
		Logger: s.log, Registerer: s.registry,
	})
	if err != nil {
		return nil, fmt.Errorf("audit collector: %w", err)
	}
	receiver, err := usage.New(usage.Config{
		Authenticate: s.tokens.Authenticate, Sink: s.pipe, Validate: pipeline.Validate, Memory: memory, Now: s.now,
		Logger: s.log, Registerer: s.registry,
	})
	if err != nil {
		return nil, fmt.Errorf("usage collector: %w", err)
	}
	return []dashboards.Door{
		{Method: http.MethodPost, Path: "/audit/:cluster", Handler: auditHandler},
		{Method: http.MethodPost, Path: "/v1/events", Handler: receiver.Native()},
		{Method: http.MethodGet, Path: "/v1/events/schema", Handler: receiver.Schema()},
		{Method: http.MethodPost, Path: "/v1/agent", Handler: agent.New(agent.Config{Authenticate: s.tokens.Authenticate, Sink: s.pipe, Memory: memory})},
	}, nil
}
