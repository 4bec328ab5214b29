package catalogue

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestHiddenGroups(t *testing.T) {
	for name, c := range map[string]struct {
		people map[string]float64
		want   string
	}{
		"nobody":        {nil, ""},
		"none is small": {map[string]float64{"a": 5, "b": 9}, ""},
		"one is small: the next larger one hides it": {map[string]float64{"a": 2, "b": 9, "c": 7}, "a c"},
		"two that are enough together":               {map[string]float64{"a": 2, "b": 3, "c": 7}, "a b"},
		"two that are not enough together":           {map[string]float64{"a": 2, "b": 2, "c": 7, "d": 8}, "a b c"},
		"people without a team are a group":          {map[string]float64{"": 1, "b": 6, "c": 7}, " b"},
		"of equals the first by name":                {map[string]float64{"a": 4, "c": 7, "b": 7}, "a b"},
		"there is no other":                          {map[string]float64{"a": 4}, "a"},
		"a group of nobody hides nothing":            {map[string]float64{"a": 0, "b": 7}, ""},
	} {
		people := map[place]float64{{8, "z"}: 50}
		for dim, n := range c.people {
			people[place{7, dim}] = n
		}
		var got []string
		for _, p := range slices.SortedFunc(maps.Keys(hiddenGroups(people, 5)), func(a, b place) int { return strings.Compare(a.dim, b.dim) }) {
			if p.period != 7 {
				t.Errorf("%s: %v of another period is hidden", name, p)
			}
			got = append(got, p.dim)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: got %q, want %q", name, s, c.want)
		}
	}
}
