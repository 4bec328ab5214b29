package pipeline

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

var noon = time.Date(2026, 11, 9, 12, 0, 0, 0, time.UTC)

func event(edit func(*schema.Event)) schema.Event {
	e := schema.Event{Source: "s", Name: "n", Time: noon, Received: noon, Actor: "secret-person"}
	edit(&e)
	return e
}

func TestValidateNamesTheFault(t *testing.T) {
	long := func(n int) string { return strings.Repeat("é", n/2) + strings.Repeat("x", n%2) }
	attributes := func(n int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[strings.Repeat("k", i+1)] = ""
		}
		return m
	}
	for name, tc := range map[string]struct {
		edit func(*schema.Event)
		want string // empty: valid
	}{
		"the least":               {func(*schema.Event) {}, ""},
		"no name":                 {func(e *schema.Event) { e.Name = "" }, "name is missing"},
		"no source":               {func(e *schema.Event) { e.Source = "" }, "source is missing"},
		"no time":                 {func(e *schema.Event) { e.Time = time.Time{} }, "time is missing"},
		"before 1970":             {func(e *schema.Event) { e.Time = time.Unix(-1, 0) }, "before 1970-01-01"},
		"the far future":          {func(e *schema.Event) { e.Time = noon.AddDate(1000, 0, 0) }, ""},
		"longest name":            {func(e *schema.Event) { e.Name = long(200) }, ""},
		"name too long":           {func(e *schema.Event) { e.Name = long(201) }, "name has 201 bytes, more than 200"},
		"longest actor":           {func(e *schema.Event) { e.Actor = long(1024) }, ""},
		"actor too long":          {func(e *schema.Event) { e.Actor = long(1025) }, "actor has 1025 bytes"},
		"id too long":             {func(e *schema.Event) { e.ID = long(1025) }, "id has 1025 bytes"},
		"object no UTF-8":         {func(e *schema.Event) { e.Object = "a\xff" }, "object is not valid UTF-8"},
		"an odd outcome":          {func(e *schema.Event) { e.Outcome = "ok" }, "outcome must be success"},
		"an odd kind":             {func(e *schema.Event) { e.ActorKind = "robot" }, "actor_kind must be human"},
		"a negative value":        {func(e *schema.Event) { e.Value = new(-1.0) }, ""},
		"value NaN":               {func(e *schema.Event) { e.Value = new(math.NaN()) }, "value NaN must be a finite number"},
		"duration infinite":       {func(e *schema.Event) { e.DurationMS = new(math.Inf(1)) }, "duration_ms +Inf"},
		"duration negative":       {func(e *schema.Event) { e.DurationMS = new(-0.5) }, "duration_ms -0.5"},
		"most attributes":         {func(e *schema.Event) { e.Attributes = attributes(50) }, ""},
		"too many attributes":     {func(e *schema.Event) { e.Attributes = attributes(51) }, "attributes: 51 are more than 50"},
		"key too long":            {func(e *schema.Event) { e.Attributes = map[string]string{long(201): ""} }, "a key has 201 bytes"},
		"key empty":               {func(e *schema.Event) { e.Attributes = map[string]string{"": ""} }, "a key is empty"},
		"attribute too long":      {func(e *schema.Event) { e.Attributes = map[string]string{"k": long(2049)} }, "a value has 2049 bytes"},
		"too many groups":         {func(e *schema.Event) { e.Groups = make([]string, MaxGroups+1) }, "groups: 1001 are more"},
		"group not UTF-8":         {func(e *schema.Event) { e.Groups = []string{"\xff"} }, "groups is not valid UTF-8"},
		"all kinds and outcomes":  {func(e *schema.Event) { e.ActorKind, e.Outcome = schema.ActorMachine, schema.OutcomeDenied }, ""},
		"a zero duration is fine": {func(e *schema.Event) { e.DurationMS = new(0.0) }, ""},
	} {
		e := event(tc.edit)
		err := Validate(&e)
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		case err != nil && strings.Contains(err.Error(), "secret-person"):
			t.Errorf("%s: the error names the person", name)
		}
	}
}

func TestOtherRecordsAreChecked(t *testing.T) {
	good := schema.Batch{
		Slices: []schema.Slice{
			{Indicator: "i", Revision: "r", Start: noon, Seconds: 60, Good: 1, Total: 1, State: schema.SliceMeasured},
			{Indicator: "i", Revision: "r", Start: noon, Seconds: 86400 / 2, State: schema.SliceGap},
		},
		Aliases:   []schema.Alias{{From: "a", To: "b"}},
		Incidents: []schema.Incident{{ID: "x", Service: "s", Start: noon, Resolved: noon.Add(time.Minute), Detected: noon, Origin: schema.OriginOwn}},
		Changes: []schema.ResourceChange{{
			Resource: schema.Resource{Cluster: "c", Kind: schema.KindNode, UID: "1", Name: "n"}, Change: schema.ChangeObserved, Time: noon.AddDate(-30, 0, 0), Seen: noon,
		}},
	}
	if bad := (door{now: noon}).check(&good); len(bad) > 0 {
		t.Fatalf("good records: %v", bad)
	}
	slice := func(edit func(*schema.Slice)) func(*schema.Batch) {
		return func(b *schema.Batch) { edit(&b.Slices[0]) }
	}
	incident := func(edit func(*schema.Incident)) func(*schema.Batch) {
		return func(b *schema.Batch) { edit(&b.Incidents[0]) }
	}
	change := func(edit func(*schema.ResourceChange)) func(*schema.Batch) {
		return func(b *schema.Batch) { edit(&b.Changes[0]) }
	}
	for want, edit := range map[string]func(*schema.Batch){
		"cluster is missing":      change(func(c *schema.ResourceChange) { c.Cluster = "" }),
		"change is \"lost\"":      change(func(c *schema.ResourceChange) { c.Change = "lost" }),
		"time 1969":               change(func(c *schema.ResourceChange) { c.Time = time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC) }),
		"created 2100":            change(func(c *schema.ResourceChange) { c.Created = maxTime }),
		"terminating 1900":        change(func(c *schema.ResourceChange) { c.Terminating = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC) }),
		"time 2026-11-09T12:05":   change(func(c *schema.ResourceChange) { c.Time = noon.Add(MaxSliceAhead + time.Second) }),
		"seen lies in the future": change(func(c *schema.ResourceChange) { c.Seen = noon.Add(time.Hour) }),
		"indicator is missing":    slice(func(s *schema.Slice) { s.Indicator = "" }),
		"revision is missing":     slice(func(s *schema.Slice) { s.Revision = "" }),
		"seconds 0 must lie":      slice(func(s *schema.Slice) { s.Seconds = 0 }),
		"seconds 86401 must lie":  slice(func(s *schema.Slice) { s.Seconds = 86401 }),
		"is not aligned to 60":    slice(func(s *schema.Slice) { s.Start = noon.Add(time.Second) }),
		"aligned to 60 seconds":   slice(func(s *schema.Slice) { s.Start = noon.Add(time.Millisecond) }),
		"good 2 and total 1":      slice(func(s *schema.Slice) { s.Good = 2 }),
		"good -1 and":             slice(func(s *schema.Slice) { s.Good = -1 }),
		"total NaN":               slice(func(s *schema.Slice) { s.Total = math.NaN() }),
		"total +Inf":              slice(func(s *schema.Slice) { s.Total = math.Inf(1) }),
		"a gap cannot have":       slice(func(s *schema.Slice) { s.State = schema.SliceGap }),
		"state must be":           slice(func(s *schema.Slice) { s.State = "" }),
		"start 0001":              slice(func(s *schema.Slice) { s.Start = time.Time{} }),
		"needs from and to":       func(b *schema.Batch) { b.Aliases[0].To = "" },
		"from has 1025 bytes":     func(b *schema.Batch) { b.Aliases[0].From = strings.Repeat("x", 1025) },
		"id is missing":           incident(func(i *schema.Incident) { i.ID = "" }),
		"service is missing":      incident(func(i *schema.Incident) { i.Service = "" }),
		"start must lie":          incident(func(i *schema.Incident) { i.Start = time.Time{} }),
		"must be after start":     incident(func(i *schema.Incident) { i.Resolved = noon }),
		"resolved 2026-11-09T12:00:00Z must be after": incident(func(i *schema.Incident) {
			i.Start, i.Resolved = noon.Add(time.Microsecond), noon.Add(2*time.Microsecond)
		}),
		"the name of what no incident accounts for": incident(func(i *schema.Incident) { i.ID = "unattributed" }),
		"not be before start":                       incident(func(i *schema.Incident) { i.Detected = noon.Add(-1) }),
		"origin must be":                            incident(func(i *schema.Incident) { i.Origin = "them" }),
		"follow-up has no id":                       incident(func(i *schema.Incident) { i.Followups = []schema.Followup{{}} }),
		"more than 100 links":                       incident(func(i *schema.Incident) { i.Links = make([]string, 101) }),
		"a field is not valid":                      incident(func(i *schema.Incident) { i.Links = []string{"\xff"} }),
	} {
		b := good
		b.Slices, b.Aliases, b.Incidents = append([]schema.Slice{}, good.Slices...), append([]schema.Alias{}, good.Aliases...), append([]schema.Incident{}, good.Incidents...)
		b.Changes = append([]schema.ResourceChange{}, good.Changes...)
		edit(&b)
		bad := door{now: noon}.check(&b)
		if len(bad) != 1 || bad[0].Index != 0 || !strings.Contains(bad[0].Error(), want) {
			t.Errorf("%v, want %q", bad, want)
		}
	}
}
