package main

import (
	"strings"
	"testing"

	"github.com/kubevalue/kubevalue/journey/catalogue"
)

func TestStatementsSayWhatTheyAreFor(t *testing.T) {
	metrics, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	find := func(id string) (found int) {
		for i, m := range metrics {
			if m.ID == id {
				return i
			}
		}
		t.Fatalf("no metric %s", id)
		return 0
	}
	adoption, churn := metrics[find("C15")], metrics[find("A8")]
	for _, c := range []struct {
		sql, name string
		own       bool
	}{
		{"WITH x AS (\nSELECT 1\n)\nSELECT * FROM (\n" + strings.TrimSpace(adoption.SQL.Numerator) + "\n)", "numerator", true},
		{"SELECT * FROM (\n" + strings.TrimSpace(adoption.SQL.Denominator) + "\n)", "denominator", true},
		{"SELECT source FROM source_hours GROUP BY source", "coverage: the hours in which sources reported", false},
		{"SELECT actor FROM actor_aliases", "identities that were merged", false},
	} {
		if name, own := purpose(adoption, catalogue.Statement{SQL: c.sql}); name != c.name || own != c.own {
			t.Errorf("%.60s: %s, own %v, want %s, %v", c.sql, name, own, c.name, c.own)
		}
	}
	if name, own := purpose(churn, catalogue.Statement{SQL: "SELECT actor FROM activity_days"}); name != "facts of the analysis" || !own {
		t.Errorf("an analysis asks for %s, own %v", name, own)
	}
}
