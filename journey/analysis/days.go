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
			morning, evening := quarters((at-day*dayMillis)/quarter, (until-day*dayMillis)/quarter)
			s.Days, s.Slots = append(s.Days, day), append(s.Slots, from)
			s.Morning, s.Evening = append(s.Morning, morning), append(s.Evening, evening)
			at = until
		}
	}
	return s, true
}

// quarters selects the quarter hours [from, to) of a day.
func quarters(from, to int64) (morning, evening uint64) {
	below := func(n int64) uint64 { return uint64(1)<<max(0, min(n, quartersOfHalf)) - 1 }
	return below(to) &^ below(from), below(to-quartersOfHalf) &^ below(from-quartersOfHalf)
}

// RollupKnows says whether activity_days can tell value events when these names are left out of them: it keeps apart the
// names of journey.DefaultNotValue only.
func RollupKnows(notValue []string) bool {
	return !slices.ContainsFunc(notValue, func(name string) bool { return !slices.Contains(journey.DefaultNotValue, name) })
}

// whole says whether a segment is a day from its beginning to its end.
func (s Segments) whole(i int) bool { return s.Morning[i] == wholeHalf && s.Evening[i] == wholeHalf }

const wholeHalf = uint64(1)<<quartersOfHalf - 1

// Seen is a SELECT of the columns slot and what (a list of expressions on activity_days) with the rows that fulfil where, a
// condition. Rows may repeat. Whole days are read from activity_months where slots are long, else they find their slot by their date; only
// those that a slot's end cuts through are joined. The parameters are Params.
func (s Segments) Seen(what, where string) string {
	var branches []string
	if s.Long() {
		branches = append(branches, s.Months("activity_months", "days", what, where))
	} else if days := s.days(true); len(days) > 0 {
		branches = append(branches, fmt.Sprintf(`SELECT roundDown(toInt64(toUInt16(day)) * 86400000, {seg_starts:Array(Int64)}) AS slot, %s
        FROM activity_days
        WHERE %s AND %s`, what, where, dayRanges(days)))
	}
	if cut := s.SeenCut(what, where); cut != "" {
		branches = append(branches, cut)
	}
	return strings.Join(branches, "\n        UNION ALL\n        ")
}

// SeenCut is Seen of the days that a slot's end cuts through; empty: there are none.
func (s Segments) SeenCut(what, where string) string {
	days := s.days(false)
	if len(days) == 0 {
		return ""
	}
	return fmt.Sprintf(`SELECT s.slot AS slot, %s
        FROM activity_days AS d
        INNER JOIN (
            SELECT toDate(toUInt16(segment.1)) AS on, segment.2 AS slot, segment.3 AS early, segment.4 AS late
            FROM (SELECT arrayJoin(arrayZip({seg_days:Array(Int64)}, {seg_slots:Array(Int64)}, {seg_morning:Array(UInt64)}, {seg_evening:Array(UInt64)})) AS segment)
        ) AS s ON d.day = s.on
        WHERE %s AND %s AND (bitAnd(morning, early) != 0 OR bitAnd(evening, late) != 0)`, what, where, dayRanges(days))
}

// Months is a SELECT like Seen of the whole days, from a table which has a row for each month of whoever acted with a bit for each day, in
// bits (a column): activity_months, which has days and audited, or activity_kinds.
func (s Segments) Months(table, bits, what, where string) string {
	return s.OfMonths(fmt.Sprintf("SELECT month, %s, %s AS bits\n        FROM %s\n        WHERE %s AND %s", what, bits, table, where, s.InMonths()), "m.* EXCEPT (month, bits)")
}

// OfMonths selects the column slot and what (a list of expressions) of rows with the columns month and bits, once for each slot that has one
// of the days.
func (s Segments) OfMonths(rows, what string) string {
	return fmt.Sprintf(`SELECT s.slot AS slot, %s
    FROM (
        %s
    ) AS m
    INNER JOIN (
        SELECT toDate(toUInt16(segment.1)) AS on, segment.2 AS slot, toUInt32(segment.3) AS mask
        FROM (SELECT arrayJoin(arrayZip({month_ends:Array(Int64)}, {month_slots:Array(Int64)}, {month_masks:Array(Int64)})) AS segment)
    ) AS s ON m.month = s.on
    WHERE bitAnd(bits, mask) != 0`, what, rows)
}

// InMonths restricts the column month to the months of whole days.
func (s Segments) InMonths() string {
	months := slices.Clone(s.months().Months)
	ends := make([]string, 0, len(months))
	for _, month := range slices.Compact(months) {
		ends = append(ends, fmt.Sprintf("toDate(%d)", month))
	}
	return "month IN (" + strings.Join(ends, ", ") + ")"
}

// monthly are the days of each slot in each month, as bits; the slices are of one length. Months are the days, since 1970-01-01, on which
// they end.
type monthly struct{ Months, Slots, Masks []int64 }

func (s Segments) months() monthly {
	var out monthly
	for i, day := range s.Days {
		if !s.whole(i) {
			continue
		}
		date := time.Unix(day*86400, 0).UTC()
		end := time.Date(date.Year(), date.Month()+1, 0, 0, 0, 0, 0, time.UTC).Unix() / 86400
		last := len(out.Months) - 1
		if last < 0 || out.Months[last] != end || out.Slots[last] != s.Slots[i] {
			out.Months, out.Slots, out.Masks = append(out.Months, end), append(out.Slots, s.Slots[i]), append(out.Masks, 0)
			last++
		}
		out.Masks[last] |= 1 << (date.Day() - 1)
	}
	return out
}

// Long says whether the slots' whole days are fewer to read by the month.
func (s Segments) Long() bool {
	const daysPerSlot = 3
	whole := len(s.days(true))
	return whole > 0 && whole >= daysPerSlot*len(s.months().Slots)
}

// HasWhole says whether any day is whole.
func (s Segments) HasWhole() bool { return len(s.days(true)) > 0 }

// Cut restricts the column time of events to the days that a slot's end cuts through; empty: there are none.
func (s Segments) Cut() string {
	var ranges []string
	for _, day := range s.days(false) {
		ranges = append(ranges, fmt.Sprintf("time >= toDateTime64(%d, 3, 'UTC') AND time < toDateTime64(%d, 3, 'UTC')", day*86400, (day+1)*86400))
	}
	if len(ranges) == 0 {
		return ""
	}
	return "((" + strings.Join(ranges, ") OR (") + "))"
}

// Params are the parameters of Seen and Months.
func (s Segments) Params() map[string]any {
	months := s.months()
	var starts []int64
	cut := s.pick(func(i int) bool { return !s.whole(i) })
	for i, slot := range s.Slots {
		if s.whole(i) {
			starts = append(starts, slot)
		}
	}
	return map[string]any{
		"seg_starts": slices.Compact(starts), "seg_days": cut.Days, "seg_slots": cut.Slots, "seg_morning": cut.Morning, "seg_evening": cut.Evening,
		"month_ends": months.Months, "month_slots": months.Slots, "month_masks": months.Masks,
	}
}

// days are the days of the segments that are whole, or not, each once.
func (s Segments) days(whole bool) []int64 {
	return slices.Compact(s.pick(func(i int) bool { return s.whole(i) == whole }).Days)
}

// Where keeps the segments of some slots.
func (s Segments) Where(keep func(slot int64) bool) Segments {
	return s.pick(func(i int) bool { return keep(s.Slots[i]) })
}

func (s Segments) pick(keep func(i int) bool) Segments {
	var out Segments
	for i := range s.Slots {
		if keep(i) {
			out.Days, out.Slots = append(out.Days, s.Days[i]), append(out.Slots, s.Slots[i])
			out.Morning, out.Evening = append(out.Morning, s.Morning[i]), append(out.Evening, s.Evening[i])
		}
	}
	return out
}

// dayRanges restricts the column day of activity_days to some days, as ranges, so that the engine can skip the rest.
func dayRanges(days []int64) string {
	var ranges []string
	for i := 0; i < len(days); {
		j := i
		for j+1 < len(days) && days[j+1] == days[j]+1 {
			j++
		}
		ranges = append(ranges, fmt.Sprintf("day >= toDate(%d) AND day <= toDate(%d)", days[i], days[j]))
		i = j + 1
	}
	return "((" + strings.Join(ranges, ") OR (") + "))"
}
