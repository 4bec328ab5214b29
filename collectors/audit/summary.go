package audit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// shownFaults is how many malformed places a summary names.
const shownFaults = 10

// LineFault is where a log file is malformed.
type LineFault struct {
	File string
	// Line is the number of the line, from 1, on which the record begins.
	Line int
}

// Summary is what an import found.
type Summary struct {
	Files int
	// Bytes were read of the files as they are stored; Resumed, after unpacking, an earlier run had already handed over.
	Bytes, Resumed int64
	// Records is all that was found: Taken, and what was left out by reason.
	Records, Taken int
	LeftOut        map[LeftOut]int
	// Malformed names the first places of LeftOutMalformed.
	Malformed []LineFault
}

// explanations say what the reasons mean to somebody who reads a summary.
var explanations = map[LeftOut]string{
	LeftOutStage:         "not the stage that decides",
	LeftOutRead:          "reads",
	LeftOutNonResource:   "not about an API object",
	LeftOutDryRun:        "dry runs",
	LeftOutReview:        "access and token reviews",
	LeftOutLease:         "leases",
	LeftOutEvent:         "Kubernetes events",
	LeftOutStatus:        "status reports",
	LeftOutNodeToken:     "tokens for the pods of a node",
	LeftOutProxy:         "traffic through the apiserver",
	LeftOutIgnoredUser:   "ignored users",
	LeftOutMalformed:     "malformed",
	LeftOutInvalid:       "cannot be stored",
	LeftOutOtherLogEntry: "other log entries",
}

// String is the summary for people, with a final newline.
func (s Summary) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d records in %d files, %d taken as usage events\n", s.Records, s.Files, s.Taken)
	if s.Resumed > 0 {
		fmt.Fprintf(&b, "%d bytes passed over: an earlier import has handed them over\n", s.Resumed)
	}
	reasons := slices.SortedFunc(maps.Keys(s.LeftOut), func(a, b LeftOut) int {
		return cmp.Or(cmp.Compare(s.LeftOut[b], s.LeftOut[a]), cmp.Compare(a, b))
	})
	for _, why := range reasons {
		fmt.Fprintf(&b, "  left out %8d  %s\n", s.LeftOut[why], explanations[why])
	}
	for _, fault := range s.Malformed {
		fmt.Fprintf(&b, "  malformed: %s, line %d\n", fault.File, fault.Line)
	}
	if more := s.LeftOut[LeftOutMalformed] - len(s.Malformed); more > 0 {
		fmt.Fprintf(&b, "  and %d more\n", more)
	}
	return b.String()
}
