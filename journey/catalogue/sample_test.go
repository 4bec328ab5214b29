package catalogue

import "testing"

// A statement without rows tells by its text whether it has a column n.
func TestAStatementThatTellsItsSample(t *testing.T) {
	for sql, want := range map[string]bool{
		"SELECT period, dim, count() AS value, value AS n FROM acts GROUP BY period, dim":                        true,
		"WITH x AS (SELECT 1 AS n) SELECT period, dim, max(value) AS value,\n uniqExact(a, b) as n\nFROM x":      true,
		"SELECT period, dim, t.n, 1 AS value FROM t":                                                             true,
		"SELECT DISTINCT n, period, dim, value FROM t":                                                           true,
		"SELECT period, dim, 1 AS value, 2 AS `n`":                                                               true,
		"SELECT period, dim, count() AS value FROM (SELECT * FROM acts) AS n":                                    false,
		"SELECT period, dim, sum(n) AS value FROM (SELECT period, dim, count() AS n FROM acts GROUP BY ALL)":     false,
		"WITH acted AS (SELECT count() AS n FROM acts) SELECT period, dim, arrayMax([1, n]) AS value FROM acted": false,
		"SELECT period, dim, ' AS n' AS value -- as n\n, 1 AS m /* AS n */ FROM acts":                            false,
		"SELECT period, dim, (SELECT count() AS n FROM acts) AS value, 'it\\'s (' AS why FROM x":                 false,
		"SELECT period, dim, 2 * n AS value FROM x":                                                              false,
		"SELECT period, dim, count() AS value, count() AS number FROM acts AS n":                                 false,
	} {
		if got := tellsSample(sql); got != want {
			t.Errorf("%s\ntells its sample: %t, want %t", sql, got, want)
		}
	}
}
