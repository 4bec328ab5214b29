// Package slotest runs tests of service level arithmetic that are written in YAML, as `kubevalue slo test` does:
//
//	tests:
//	  - name: occurrences with a gap
//	    objective: {name: login, target: 0.99, window: 1h, method: occurrences}
//	    start: 2026-03-01T00:00:00Z
//	    slice: 5m
//	    slices: "100/100*10 90/100 _"
//	    expect:
//	      - {at: 1h, sli: 0.990909, coverage: 0.916667, budget_consumed: 0.909091, budget_remaining: 0.090909}
//
// Slices are good/total, *N stands for N copies in all, _ is a slice without data. `at` is the watermark, an offset from
// start or a time, floored to the slice; without it, the end of the slices listed. `error` expects a refusal whose text
// contains it. null expects an undefined value. Numbers agree within max(1e-6 x |want|, 1e-6), or within the test's
// `tolerance`.
//
// Besides the keys of the format there are: for objectives and composites `min_events`, for composites `missing`,
// `min_coverage` and `alerts`; for exclusions `author` and `weekly: {day: sunday, from: "02:00", to: "04:00", timezone:
// Europe/Berlin}` in place of from and to; for incidents `class`, `cause` (own, upstream) and `title`, and one without
// `to` lasts; in expectations `remaining_minutes`, `allowed_minutes`, `spared_minutes`, `spared_budget`, `partial`, and
// `exhausted_at` (a moment).
//
// Every case runs through the pure engine on raw slices, and through each further [Evaluator], such as one over tables
// and SQL; both must meet the expectations and agree with each other.
package slotest
