package catalogue

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// silentHours counts the hours of [0, end) that a source which reported in some hours did not cover, one by one.
func silentHours(first int, hours []int, patience, end int) int {
	silent := 0
	for at := range end {
		if slices.Contains(hours, at) {
			continue
		}
		next := end
		if i := slices.IndexFunc(hours, func(h int) bool { return h > at }); i >= 0 {
			next = hours[i]
		}
		known, before := false, 0
		for _, h := range hours {
			if h < at {
				known, before = true, h
			}
		}
		if at < first || !known || next-before-1 > patience {
			silent++
		}
	}
	return silent
}

func TestCoveredTimeIsThatOfEveryHour(t *testing.T) {
	t.Parallel()
	epoch := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	e := Evaluator{Query: warehousetest.Open(t).Query}
	rapid.Check(t, func(t *rapid.T) {
		hours := rapid.SliceOfNDistinct(rapid.IntRange(-300, 400), 1, 40, rapid.ID[int]).Draw(t, "hours")
		slices.Sort(hours)
		patience := rapid.SampledFrom([]int{0, 3, 72}).Draw(t, "patience")
		first := hours[0]
		if rapid.Bool().Draw(t, "older") {
			first = -2000
		}
		end := rapid.IntRange(1, 200).Draw(t, "end")
		var seconds []int64
		for _, h := range hours {
			seconds = append(seconds, epoch.Unix()+int64(h)*3600)
		}
		table := fmt.Sprintf("(SELECT 'a' AS source, toDateTime(arrayJoin(%s), 'UTC') AS hour)", strings.ReplaceAll(fmt.Sprint(seconds), " ", ","))
		all, err := e.reports(t.Context(), fmt.Sprintf(runsSQL, "source", table), epoch.Add(-2000*time.Hour), epoch.Add(2000*time.Hour), time.Duration(patience)*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		s := all["a"]
		s.first = epoch.Add(time.Duration(first) * time.Hour)
		covered, expected := s.covered(epoch, epoch.Add(time.Duration(end)*time.Hour))
		if hours[0] >= end {
			if expected != 0 {
				t.Fatalf("a source that began later is expected for %s", expected)
			}
			return
		}
		want := time.Duration(end-silentHours(first, hours, patience, end)) * time.Hour
		if expected != time.Duration(end)*time.Hour || covered != want {
			t.Fatalf("covered %s of %s, want %s of %d hours", covered, expected, want, end)
		}
	})
}
