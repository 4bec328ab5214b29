package usage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

func importRows(t *testing.T, text string, change func(*FileConfig)) ([]schema.Event, FileSummary, error) {
	t.Helper()
	sink := &memorySink{}
	cfg := FileConfig{
		Reader: strings.NewReader(text), Name: "events.csv", Source: "legacy", Sink: sink,
		Validate: func(e *schema.Event) error {
			if e.Name == "refused" {
				return errors.New("refused")
			}
			return nil
		},
		Now: func() time.Time { return received },
	}
	if change != nil {
		change(&cfg)
	}
	summary, err := ImportFile(t.Context(), cfg)
	for _, b := range sink.batches {
		if !b.Backfill {
			t.Error("an import must be allowed to be late")
		}
	}
	return sink.events(), summary, err
}

func TestCSVWithItsOwnNames(t *testing.T) {
	events, summary, err := importRows(t, "\ufeffid,time,name,actor,groups,value,attributes.page,ignored\n"+
		"1,2020-01-02T03:04:05+01:00,report.read,ann,\"a; b\",2.5,start,x\n2,2020-01-02T03:04:05Z,\"with \"\"quotes\"\" and, comma\",,,,,\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	value := 2.5
	want := []schema.Event{
		{ID: "1", Source: "legacy", Time: time.Date(2020, 1, 2, 2, 4, 5, 0, time.UTC), Received: received, Name: "report.read", Actor: "ann",
			Groups: []string{"a", "b"}, Value: &value, Outcome: schema.OutcomeSuccess, Attributes: map[string]string{"page": "start"}},
		{ID: "2", Source: "legacy", Time: time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC), Received: received, Name: `with "quotes" and, comma`, Outcome: schema.OutcomeSuccess},
	}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("events differ (-want +got):\n%s", diff)
	}
	if got, want := summary.String(), "2 rows, 2 taken as events, 0 refused\n"; got != want {
		t.Errorf("summary %q, want %q", got, want)
	}
}

func TestColumnsAreMapped(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	events, _, err := importRows(t, "when;who;page\n02.07.2020 10:00;ann;/start\n", func(c *FileConfig) {
		c.Comma, c.Layout, c.Location = ';', "02.01.2006 15:04", berlin
		c.Columns = map[string]string{"time": "when", "actor": "who", "name": "=page.view", "attributes.path": "page", "team": "=shop"}
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []schema.Event{{
		Source: "legacy", Time: time.Date(2020, 7, 2, 8, 0, 0, 0, time.UTC), Received: received, Name: "page.view", Actor: "ann", Team: "shop",
		Outcome: schema.OutcomeSuccess, Attributes: map[string]string{"path": "/start"},
	}}
	if diff := cmp.Diff(want, events, cmpopts.IgnoreFields(schema.Event{}, "ID")); diff != "" {
		t.Errorf("events differ (-want +got):\n%s", diff)
	}
}

func TestNDJSONIsFlattened(t *testing.T) {
	text := `{"ts":1577934245123,"event":"a","user":{"name":"ann","groups":["x","y"]},"attributes":{"page":"p"},"duration_ms":5}` + "\n\n" +
		`{"ts":1577934245,"event":"b"}` + "\n" + `{"ts":` + "\n" + `[]`
	events, summary, err := importRows(t, text, func(c *FileConfig) {
		c.Layout = LayoutUnixMS
		c.Columns = map[string]string{"time": "ts", "name": "event", "actor": "user.name", "groups": "user.groups"}
	})
	if err != nil {
		t.Fatal(err)
	}
	ms := 5.0
	want := []schema.Event{
		{Source: "legacy", Time: time.UnixMilli(1577934245123).UTC(), Received: received, Name: "a", Actor: "ann", Groups: []string{"x", "y"},
			DurationMS: &ms, Outcome: schema.OutcomeSuccess, Attributes: map[string]string{"page": "p"}},
		{Source: "legacy", Time: time.UnixMilli(1577934245).UTC(), Received: received, Name: "b", Outcome: schema.OutcomeSuccess},
	}
	if diff := cmp.Diff(want, events, cmpopts.IgnoreFields(schema.Event{}, "ID")); diff != "" {
		t.Errorf("events differ (-want +got):\n%s", diff)
	}
	faults := []RowFault{{4, "invalid JSON at byte 6: want a value"}, {5, "invalid JSON at byte 0: want an object"}}
	if diff := cmp.Diff(faults, summary.Faults); diff != "" {
		t.Errorf("faults differ (-want +got):\n%s", diff)
	}
}

func TestRowsWithoutAnIDGetTheSameOneAgain(t *testing.T) {
	const text = "time,name\n2020-01-01T00:00:00Z,a\n2020-01-01T00:00:00Z,a\n2020-01-01T00:00:00Z,b\n"
	first, _, err := importRows(t, text, nil)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := importRows(t, text, nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i := range first {
		if first[i].ID == "" || first[i].ID != again[i].ID || seen[first[i].ID] {
			t.Errorf("row %d: ids %q and %q", i, first[i].ID, again[i].ID)
		}
		seen[first[i].ID] = true
	}
}

func TestRefusedRowsAreNamed(t *testing.T) {
	events, summary, err := importRows(t, "time,name,value\nnoon,a,\n,a,\n2020-01-01T00:00:00Z,,\n2020-01-01T00:00:00Z,a,x\n2020-01-01T00:00:00Z,a\n"+
		"2020-01-01T00:00:00Z,\"a\"x,\n2020-01-01T00:00:00Z,refused,\n2020-01-01T00:00:00Z,good,\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := FileSummary{Rows: 8, Taken: 1, Refused: 7, Faults: []RowFault{
		{2, "time: want RFC 3339 with an offset, such as 2026-11-16T09:00:00Z"}, {3, "time: missing"}, {4, "name: missing"}, {5, "value: want a number"},
		{6, "2 fields: want 3"}, {7, `CSV: extraneous or missing " in quoted-field`}, {8, "refused"},
	}}
	if diff := cmp.Diff(want, summary); diff != "" || names(events) != "good" {
		t.Errorf("events %q, summary differs (-want +got):\n%s", names(events), diff)
	}
	if want := "8 rows, 1 taken as events, 7 refused\n  line 2: time: want"; !strings.HasPrefix(summary.String(), want) {
		t.Errorf("summary %q", summary.String())
	}
}

func TestFaultsOfAMapping(t *testing.T) {
	for name, c := range map[string]struct {
		columns map[string]string
		text    string
		want    string
	}{
		"unknown field":  {map[string]string{"namee": "a"}, "a\n", `column mapping "namee"="a": want a column, and one of the fields id, time, name,`},
		"no column":      {map[string]string{"name": ""}, "a\n", `column mapping "name"="": want a column`},
		"missing column": {map[string]string{"name": "b"}, "a,c\n", `import events.csv: column mapping "name"="b": the file has no such column, it has a, c`},
		"empty file":     {nil, "", "import events.csv: the file is empty"},
	} {
		_, _, err := importRows(t, c.text, func(cfg *FileConfig) { cfg.Columns = c.columns })
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

func TestAnImportWaitsForAFullSinkAndTellsItsProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text strings.Builder
		text.WriteString("time,name,id\n")
		const n = 12_000
		for i := range n {
			fmt.Fprintf(&text, "2020-01-01T00:00:00Z,a,%d\n", i)
		}
		sink, refusals := &memorySink{}, 3
		var progress []int
		_, summary, err := importRows(t, text.String(), func(c *FileConfig) {
			c.Progress = func(rows int) { progress = append(progress, rows) }
			c.Sink = appendFunc(func(ctx context.Context, b schema.Batch) error {
				if refusals > 0 {
					refusals--
					return collectors.ErrFull
				}
				return sink.Append(ctx, b)
			})
		})
		if err != nil || summary.Taken != n || len(sink.events()) != n {
			t.Errorf("%d events, summary %+v, error %v", len(sink.events()), summary, err)
		}
		if diff := cmp.Diff([]int{5000, 10000}, progress); diff != "" {
			t.Errorf("progress differs (-want +got):\n%s", diff)
		}
	})
}

func FuzzImportFile(f *testing.F) {
	f.Add("time,name\n2020-01-01T00:00:00Z,a\n", false)
	f.Add(`{"time":"2020-01-01T00:00:00Z","name":"a","attributes":{"a":[1,{}]}}`, true)
	f.Fuzz(func(t *testing.T, text string, lines bool) {
		events, summary, err := importRows(t, text, func(c *FileConfig) {
			c.Format = FormatCSV
			if lines {
				c.Format = FormatNDJSON
			}
		})
		if err == nil && (len(events) != summary.Taken || summary.Taken+summary.Refused != summary.Rows) {
			t.Errorf("%d events, summary %+v", len(events), summary)
		}
	})
}
