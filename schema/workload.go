package schema

import (
	"crypto/sha256"
	"encoding/hex"
)

// WorkloadAvailability is the indicator of workloads: Good are the seconds of a slice in which a Deployment, StatefulSet or
// DaemonSet had at least max(1, desired - maxUnavailable) available pods, Total those in which any were desired, so a
// workload that is scaled to 0 is 0 of 0. maxUnavailable is what its update strategy tolerates, 0 for Recreate and OnDelete. The time
// from its creation to its first available pods counts. The group is CLUSTER/NAMESPACE/KIND/NAME.
const WorkloadAvailability = "workload-availability"

// WorkloadRevision is the revision of the definition of WorkloadAvailability.
func WorkloadRevision() string {
	sum := sha256.Sum256([]byte(WorkloadAvailability + " 1: available >= max(1, desired - maxUnavailable), seconds"))
	return hex.EncodeToString(sum[:8])
}

// WorkloadGroup is the group of a workload's slices.
func WorkloadGroup(cluster, namespace, kind, name string) string {
	return cluster + "/" + namespace + "/" + kind + "/" + name
}
