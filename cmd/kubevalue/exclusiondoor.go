package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/schema"
)

// exclusionsPath is the address of exclusions, under which each one's changes are.
const exclusionsPath = "/api/v1/slo/exclusions"

// exclusionLimits fit a form that a person fills in.
var exclusionLimits = collectors.BodyLimits{Wire: 64 << 10, Decoded: 64 << 10, Timeout: 30 * time.Second}

// exclusionDoors take exclusions over HTTP, with a bearer token for the endpoint "exclusions".
//
//	POST /api/v1/slo/exclusions                201  recorded; the body is the exclusion
//	POST /api/v1/slo/exclusions/ID/end         200  what comes after counts again
//	POST /api/v1/slo/exclusions/ID/withdraw    200  all of it counts
//
// Refusals are 400 (the form), 401 and 403 (the token), 404 (no such exclusion or objective), 409 (it contradicts what is recorded) and 503.
func (s *service) exclusionDoors() []dashboards.Door {
	add := s.exclusionDoor(http.StatusCreated, func(req *http.Request, body []byte) (schema.Exclusion, error) {
		var n newExclusion
		if err := decodeForm(body, &n); err != nil {
			return schema.Exclusion{}, err
		}
		e, err := n.record(s.cfg, s.now())
		if err != nil {
			return e, err
		}
		return s.figures.objectives.addExclusion(req.Context(), e, n.Overlapping)
	})
	change := func(what schema.ExclusionChange) http.Handler {
		return s.exclusionDoor(http.StatusOK, func(req *http.Request, body []byte) (schema.Exclusion, error) {
			id := strings.Split(strings.TrimPrefix(req.URL.Path, exclusionsPath+"/"), "/")[0]
			var by exclusionEnd
			if err := decodeForm(body, &by); err != nil {
				return schema.Exclusion{}, err
			}
			at, err := s.cfg.instant(by.At)
			if err != nil {
				return schema.Exclusion{}, dashboards.BadRequestError{Why: "at: " + err.Error()}
			}
			e, _, err := s.figures.objectives.changeExclusion(req.Context(), id, what, at, by)
			return e, err
		})
	}
	return []dashboards.Door{
		{Method: http.MethodPost, Path: exclusionsPath, Handler: add},
		{Method: http.MethodPost, Path: exclusionsPath + "/:id/end", Handler: change(schema.ExclusionEnded)},
		{Method: http.MethodPost, Path: exclusionsPath + "/:id/withdraw", Handler: change(schema.ExclusionWithdrawn)},
	}
}

// decodeForm refuses keys that nobody would read.
func decodeForm(body []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return dashboards.BadRequestError{Why: "the body is not what this endpoint takes: " + err.Error()}
	}
	return nil
}

// exclusionDoor answers with what take recorded, and wakes the publisher.
func (s *service) exclusionDoor(status int, take func(req *http.Request, body []byte) (schema.Exclusion, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		e, err := s.takeExclusion(w, req, take)
		var bad dashboards.BadRequestError
		var missing dashboards.NotFoundError
		var conflict conflictError
		switch {
		case errors.As(err, &bad):
			collectors.Problem(w, http.StatusBadRequest, "bad_request", err.Error())
		case errors.As(err, &missing):
			collectors.Problem(w, http.StatusNotFound, "not_found", err.Error())
		case errors.As(err, &conflict):
			collectors.Problem(w, http.StatusConflict, "conflict", err.Error())
		case err != nil:
			s.log.WarnContext(req.Context(), "an exclusion was not taken", "error", err)
			collectors.Refuse(w, err)
		default:
			s.log.InfoContext(req.Context(), "an exclusion was recorded", "id", e.ID, "change", e.Change, "author", e.ChangedBy)
			select {
			case s.restate <- struct{}{}:
			default: // it is awake already
			}
			collectors.Answer(w, status, map[string]any{"status": "success", "data": e, "computed_at": e.Recorded})
		}
	})
}

func (s *service) takeExclusion(w http.ResponseWriter, req *http.Request, take func(*http.Request, []byte) (schema.Exclusion, error)) (schema.Exclusion, error) {
	grant, err := s.tokens.Authenticate(req.Context(), collectors.BearerToken(req), collectors.EndpointExclusions)
	if err != nil {
		return schema.Exclusion{}, err
	}
	body, release, err := collectors.ReadBody(w, req, exclusionLimits, nil)
	if err != nil {
		return schema.Exclusion{}, err
	}
	defer release()
	if err := grant.Charge(1); err != nil {
		return schema.Exclusion{}, err
	}
	return take(req, body)
}

// listExclusions answers for the API.
func listExclusions(ctx context.Context, f *figures, a apiArguments) (any, error) {
	return f.objectives.exclusionList(ctx, a["objective"])
}
