// Package kube watches clusters: what exists in them, what happens to it, and whether workloads have the pods that they should.
//
// For each cluster it keeps one watch per kind and, in place of a cache of objects, only the state that figures need (see
// schema.Resource): some hundred bytes for a workload, some ten for a pod. Out of the stream come
//
//   - resource changes: created, ready, scaled, rollouts with their outcome, terminating, deleted and so on, each with a key that is
//     the same whoever notices it. What happened while nobody watched is dated by the API server where it says so, else by an interval;
//   - slices of the indicator schema.WorkloadAvailability: seconds in which a workload had enough available pods, of the seconds in which it
//     should have had any. A slice is measured when the watches stood from its start to its end, which a request after its end has proven.
package kube
