package analysis

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/journey"
)

// quarter is the grain of the table activity_days, in milliseconds: a day in UTC has a bit for each quarter of an hour.
const (
	quarter        = int64(15 * time.Minute / time.Millisecond)
	dayMillis      = int64(24 * time.Hour / time.Millisecond)
	quartersOfHalf = 48
)

// Segments say which bits of a day in UTC belong to which slot of time; the slices are of one length. A day that a slot's
// end cuts through has a segment on either side.
type Segments struct {
	// Days are numbers of days since 1970-01-01, Slots beginnings in Unix milliseconds.
	Days, Slots []int64
	// Morning and Evening select the quarter hours of the half days.
	Morning, Evening []uint64
}

// SegmentsOf cuts the slots, given by their sorted beginnings, the last of which ends at end, into days. ok is false when a
// slot does not begin on a quarter of an hour: activity_days cannot tell then.
func SegmentsOf(slots []int64, end int64) (s Segments, ok bool) {
	for i, from := range slots {
		to := end
		if i+1 < len(slots) {
			to = slots[i+1]
		}
		if from%quarter != 0 || to%quarter != 0 {
			return Segments{}, false
		}
		for at := from; at < to; {
			day := at / dayMillis
			if at < 0 {
				day = (at - dayMillis + 1) / dayMillis
			}
			until := min(to, (day+1)*dayMillis)
			morning, evening := bits((at-day*dayMillis)/quarter, (until-day*dayMillis)/quarter)
			s.Days, s.Slots = append(s.Days, day), append(s.Slots, from)
			s.Morning, s.Evening = append(s.Morning, morning), append(s.Evening, evening)
			at = until
		}
	}
	return s, true
}

// bits selects the quarters [from, to) of a day.
func bits(from, to int64) (morning, evening uint64) {
	below := func(n int64) uint64 { return uint64(1)<<max(0, min(n, quartersOfHalf)) - 1 }
	return below(to) &^ below(from), below(to-quartersOfHalf) &^ below(from-quartersOfHalf)
}

// RollupKnows says whether activity_days can tell value events when these names are left out of them: it keeps apart the
// names of journey.DefaultNotValue only.
func RollupKnows(notValue []string) bool {
	return !slices.ContainsFunc(notValue, func(name string) bool { return !slices.Contains(journey.DefaultNotValue, name) })
}

// SegmentsSQL is the relation of segments (day, slot, morning, evening), of the parameters seg_days, seg_slots, seg_morning
// and seg_evening.
const SegmentsSQL = `SELECT toDate(toUInt16(segment.1)) AS day, segment.2 AS slot, segment.3 AS morning, segment.4 AS evening
    FROM (SELECT arrayJoin(arrayZip({seg_days:Array(Int64)}, {seg_slots:Array(Int64)}, {seg_morning:Array(UInt64)}, {seg_evening:Array(UInt64)})) AS segment)`

// Params are the parameters of SegmentsSQL.
func (s Segments) Params() map[string]any {
	return map[string]any{"seg_days": s.Days, "seg_slots": s.Slots, "seg_morning": s.Morning, "seg_evening": s.Evening}
}

// Where keeps the segments of some slots.
func (s Segments) Where(keep func(slot int64) bool) Segments {
	var out Segments
	for i, slot := range s.Slots {
		if keep(slot) {
			out.Days, out.Slots = append(out.Days, s.Days[i]), append(out.Slots, slot)
			out.Morning, out.Evening = append(out.Morning, s.Morning[i]), append(out.Evening, s.Evening[i])
		}
	}
	return out
}

// Condition restricts the column day of activity_days to the days of the segments, as ranges, so that the engine can skip
// the rest.
func (s Segments) Condition() string {
	var ranges []string
	for i := 0; i < len(s.Days); {
		j := i
		for j+1 < len(s.Days) && s.Days[j+1] <= s.Days[j]+1 {
			j++
		}
		ranges = append(ranges, fmt.Sprintf("day >= toDate(%d) AND day <= toDate(%d)", s.Days[i], s.Days[j]))
		i = j + 1
	}
	return "((" + strings.Join(ranges, ") OR (") + "))"
}

// daySlotsSQL is slotsSQL on activity_days.
const daySlotsSQL = `SELECT actor, actor_team, arraySort(groupUniqArray(s.slot)) AS slots
FROM (
    SELECT actor, actor_team, day, groupBitOr(morning) AS morning, groupBitOr(evening) AS evening
    FROM activity_days
    WHERE %s AND %s
    GROUP BY actor, actor_team, day
) AS d
INNER JOIN (
    ` + SegmentsSQL + `
) AS s ON d.day = s.day
WHERE bitAnd(d.morning, s.morning) != 0 OR bitAnd(d.evening, s.evening) != 0
GROUP BY actor, actor_team`
