package reports

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/kubevalue/kubevalue/slo"
)

// followups asks whether the work on incidents helped.
func (b *builder) followups() {
	if b.src.Followups == nil {
		return
	}
	effects, err := b.src.Followups(b.ctx, b.at())
	if err != nil {
		b.Quality.Failed++
		return
	}
	for _, e := range effects {
		b.Followups = append(b.Followups, Followup{Class: e.Class, Verdict: e.Verdict, Text: followupText(e), Reason: e.Reason})
	}
	slices.SortStableFunc(b.Followups, func(x, y Followup) int {
		return cmp.Or(boolOrder(x.Verdict == slo.CannotTell, y.Verdict == slo.CannotTell), cmp.Compare(x.Class, y.Class))
	})
}

// followupText compares the time before with the time after, whatever the verdict on it is.
func followupText(e slo.FollowUpEffect) string {
	work := count(e.Done, "follow-ups") + " done"
	if e.Open > 0 {
		work += fmt.Sprintf(", %d open", e.Open)
	}
	length := e.Before.Length()
	if length <= 0 {
		return work
	}
	text := fmt.Sprintf("%s: %s with %s of downtime in the %s before, %s with %s in as long a time after", work,
		count(e.IncidentsBefore, "incidents"), Minutes(e.DowntimeBefore), Length(length), Number(float64(e.IncidentsAfter)), Minutes(e.DowntimeAfter))
	if e.ControlBefore+e.ControlAfter > 0 {
		text += fmt.Sprintf(" (incidents nobody worked on: %d before, %d after)", e.ControlBefore, e.ControlAfter)
	}
	return text
}
