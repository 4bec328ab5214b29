// Package metrictest runs cases in YAML against the analyses and the catalogue, through the same ingestion, tables and
// SQL as production: what `kubevalue metric test FILE…` does.
//
//	settings: {timezone: UTC, week_start: monday}
//	tests:
//	  - name: exact daily retention
//	    now: 2026-01-10T00:00:00Z
//	    roster: [{team: a, members: [ann, bob], from: 2026-01-01, voluntary: true}]
//	    events:
//	      - {time: 2026-01-05T10:00:00Z, actor: ann, name: deploy}
//	    expect:
//	      - analysis: retention
//	        args: {entity: actor, event: deploy, grain: day, mode: exact, from: 2026-01-05, to: 2026-01-08}
//	        rows: [[2026-01-05, 1, 1, 0, 0], [2026-01-06, 0], [2026-01-07, 0]]
//
// Besides these, a file may have:
//
//   - settings: small_group (people below which figures about people are withheld), min_sample (true: the metrics'
//     minimum samples apply), not_value (event names that are no value events). All are off unless given. A test may
//     have settings of its own, which win over the file's.
//   - events: id, team, owner_team, cluster, namespace, resource, object, persona, actor_kind, outcome, reason,
//     duration_ms, value, received, source, groups, attributes. The outcomes failed and error are read as failure.
//   - roster: team, members, from, to, voluntary, persona.
//   - resources: what happened in clusters: cluster, kind, name, change, time, and region, uid, namespace, created, first_ready, terminating,
//     desired, available, revision, rollout, rollout_started, version, team, labels, attributes, key, from, seen, reason,
//     duration_ms, value, as in the bodies of POST /v1/agent. created defaults to the time of the resource's change "created".
//     A cluster counts as watched in the hours in which a change "observed" of kind Cluster was seen.
//   - slices: indicator, revision (1), group, start, seconds (60), good, total, state (measured), version (1).
//   - aliases: [{from: a, to: b, at: …}].
//   - incidents: [{id, service, objectives, start, resolved, class}], for the analysis reliability. Open without resolved.
//   - objectives: what the SLO engine says, for metrics that take their figure from it: [{objective, period, service, labels,
//     target, sli, good, total, budget_consumed, budget_remaining, burn_rate, gained, currency, coverage,
//     measured}], for any period unless its label is given.
//   - expect: analysis or metric, args, then rows, value or error, and tolerance.
//
// Numbers agree within max(1e-6 |want|, 1e-6), or within tolerance where it is given. null means undefined.
package metrictest
