package alerting

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/kubevalue/kubevalue/slo"
)

var start = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// memory is a store that keeps JSON, as a real one does.
type memory struct {
	saved              []byte
	loadFails, saveErr error
}

func (m *memory) LoadAlerts(context.Context) (out []Record, err error) {
	if m.loadFails != nil || m.saved == nil {
		return nil, m.loadFails
	}
	return out, json.Unmarshal(m.saved, &out)
}

func (m *memory) SaveAlerts(_ context.Context, all []Record) (err error) {
	if m.saveErr != nil {
		return m.saveErr
	}
	m.saved, err = json.Marshal(all)
	return err
}

// sent records what a sender got at each tick.
type sent struct{ ticks [][]Alert }

func (s *sent) Send(_ context.Context, _ time.Time, alerts []Alert) error {
	s.ticks = append(s.ticks, alerts)
	return nil
}

func (s *sent) last() []Alert { return s.ticks[len(s.ticks)-1] }

// clock is where a test's time stands.
type clock struct{ now time.Time }

func newManager(store Store, c *clock, options Options, senders ...Sender) *Manager {
	return NewManager(Config{Options: options, Store: store, Senders: senders, Now: func() time.Time { return c.now }})
}

// pairStatus is a status with one pair of page severity.
func pairStatus(at time.Time, state slo.AlertState, hold, keep time.Duration) *slo.Status {
	burn := 20.0
	return &slo.Status{
		Objective: "login", At: at, Since: start.Add(-time.Hour),
		Pairs: []slo.PairStatus{{AlertWindow: slo.AlertWindow{Severity: "page", Long: time.Hour, Short: 5 * time.Minute, Factor: 14.4, For: hold, KeepFiringFor: keep},
			State: state, LongBurn: &burn, ShortBurn: &burn}},
		Alerts: []slo.SeverityStatus{{Severity: "page", State: state}},
	}
}

func TestStatesHaveAMemory(t *testing.T) {
	// One letter per minute: F the pair burns, z it is frozen, - it does not, ? no status, . the service is down. What is sent: F firing, H
	// held, r resolved, - nothing.
	for name, c := range map[string]struct {
		hold, keep time.Duration
		in, want   string
	}{
		"fires and resolves at once":                    {0, 0, "-FF---", "-FFrrr"},
		"has to hold":                                   {2 * time.Minute, 0, "FF-FFFF", "-----FF"},
		"a break starts the hold anew":                  {3 * time.Minute, 0, "FFF-FFFF", "-------F"},
		"frozen time does not count for the hold":       {3 * time.Minute, 0, "FFzzFFF", "-----FF"},
		"fires on for a while":                          {0, 2 * time.Minute, "FF---", "FFFrr"},
		"a firing alert that freezes is held":           {0, 0, "FFzzzF-", "FFHHHFr"},
		"held until coverage returns, then resolved":    {0, 0, "Fzzz-", "FHHHr"},
		"a frozen alert does not start to fire":         {0, 0, "zzz-", "----"},
		"without a status a firing alert is held":       {0, 0, "F???-", "FHHHr"},
		"without a status nothing starts":               {0, 0, "??F", "--F"},
		"fires again while the end is still being sent": {0, 0, "F-F", "FrF"},
		"a short look away changes nothing":             {4 * time.Minute, 0, "FF?FF", "----F"},
		"who could not look counts four minutes of it":  {6 * time.Minute, 0, "FF???????FFFF", "----------FFF"},
		"who was away counts four minutes of it":        {6 * time.Minute, 0, "FF.......FFFF", "----------FFF"},
	} {
		t.Run(name, func(t *testing.T) {
			c2, store, out := &clock{start}, &memory{}, &sent{}
			var got strings.Builder
			for _, letter := range c.in {
				if letter == '.' {
					c2.now = c2.now.Add(time.Minute)
					got.WriteByte('-')
					continue
				}
				// A new manager each minute: the memory is all in the store.
				m := newManager(store, c2, Options{}, out)
				state := map[rune]slo.AlertState{'F': slo.Firing, 'z': slo.Frozen, '-': slo.Inactive}[letter]
				in := Input{Objective: "login", Status: pairStatus(c2.now, state, c.hold, c.keep)}
				if letter == '?' {
					in.Status = nil
				}
				if err := m.Tick(t.Context(), []Input{in}); err != nil {
					t.Fatal(err)
				}
				switch alerts := out.last(); {
				case len(alerts) == 0:
					got.WriteByte('-')
				case !alerts[0].Firing():
					got.WriteByte('r')
				case m.Records()[0].Held:
					got.WriteByte('H')
				default:
					got.WriteByte('F')
				}
				c2.now = c2.now.Add(time.Minute)
			}
			if got.String() != c.want {
				t.Errorf("%s: sent %s, want %s", c.in, got.String(), c.want)
			}
		})
	}
}

func TestAHeldAlertIsResentUnchangedAndARestartChangesNothing(t *testing.T) {
	c, store, out := &clock{start}, &memory{}, &sent{}
	tick := func(s *slo.Status) Alert {
		t.Helper()
		// A restart before every tick.
		if err := newManager(store, c, Default(), out).Tick(t.Context(), []Input{{Objective: "login", Status: s, Labels: map[string]string{"service": "identity", "cost-centre": "7", "empty": ""}, Link: "http://kubevalue/login"}}); err != nil {
			t.Fatal(err)
		}
		c.now = c.now.Add(time.Minute)
		for _, a := range out.last() {
			if a.Key.Name == Burn {
				return a
			}
		}
		t.Fatalf("nothing sent")
		return Alert{}
	}
	first := tick(pairStatus(c.now, slo.Firing, 0, 0))
	want := Alert{
		Key: Key{Burn, "login", "", "page"}, StartsAt: start, Link: "http://kubevalue/login",
		Labels: map[string]string{"alertname": Burn, "objective": "login", "severity": "page", "service": "identity", "cost_centre": "7"},
		Annotations: map[string]string{"summary": "login burns its error budget too fast",
			"description": "Burn rate 20 over 1h and 20 over 5m, above 14.4. an unknown part of the budget of the period from 0001-01-01 00:00 UTC is consumed."},
	}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Errorf("first (-want +got):\n%s", diff)
	}
	for range 30 {
		if diff := cmp.Diff(want, tick(pairStatus(c.now, slo.Frozen, 0, 0))); diff != "" {
			t.Fatalf("held (-want +got):\n%s", diff)
		}
	}
	resolved := tick(pairStatus(c.now, slo.Inactive, 0, 0))
	if !resolved.StartsAt.Equal(start) || !resolved.EndsAt.Equal(start.Add(31*time.Minute)) {
		t.Errorf("resolved: from %s to %s", resolved.StartsAt, resolved.EndsAt)
	}
	// It is sent on for fifteen minutes, and then no more.
	for range 14 {
		if again := tick(pairStatus(c.now, slo.Inactive, 0, 0)); cmp.Diff(resolved, again) != "" {
			t.Fatalf("resent: %+v", again)
		}
	}
	if err := newManager(store, c, Default(), out).Tick(t.Context(), []Input{{Objective: "login", Status: pairStatus(c.now, slo.Inactive, 0, 0)}}); err != nil || len(out.last()) != 0 {
		t.Errorf("sent on: %+v, %v", out.last(), err)
	}
}

func TestAnObjectiveThatIsGoneResolves(t *testing.T) {
	c, store, out := &clock{start}, &memory{}, &sent{}
	m := newManager(store, c, Options{}, out)
	tick := func(inputs ...Input) []Alert {
		t.Helper()
		if err := m.Tick(t.Context(), inputs); err != nil {
			t.Fatal(err)
		}
		c.now = c.now.Add(time.Minute)
		return out.last()
	}
	firing := func(group string) Input {
		return Input{Objective: "login", Group: group, Status: pairStatus(c.now, slo.Firing, 0, 0)}
	}
	if got := tick(firing("eu"), firing("us")); len(got) != 2 || got[0].Labels["group"] != "eu" {
		t.Fatalf("sent %+v", got)
	}
	if got := tick(firing("us")); len(got) != 2 || got[0].Firing() || !got[1].Firing() {
		t.Fatalf("after eu went: %+v", got)
	}
	for range 15 {
		tick(firing("us"))
	}
	if got := m.Records(); len(got) != 1 || got[0].Key.Group != "us" {
		t.Errorf("remembers %+v", got)
	}
}

// TestAGroupThatVanishes has a cluster that reports no more. While nothing of it fires it goes in peace; while it burns its budget it does
// not, until it is gone.
func TestAGroupThatVanishes(t *testing.T) {
	options := Default()
	status := func(at time.Time, state slo.AlertState, silence time.Duration) *slo.Status {
		s := pairStatus(at, state, 0, 0)
		for _, window := range options.BurnWindows() {
			coverage := max(0, 1-silence.Minutes()/window.Minutes())
			s.BurnRates = append(s.BurnRates, slo.BurnRate{Window: window, Coverage: &coverage})
		}
		return s
	}
	for name, c := range map[string]struct {
		before             slo.AlertState
		named, fallsSilent bool
		soon, nextDay      string // what fires after twenty minutes, and after a day
	}{
		"burning":                          {slo.Firing, false, false, "ErrorBudgetBurn NothingMeasured", ""},
		"burning, nobody asks about it":    {slo.Firing, false, true, "ErrorBudgetBurn", ""},
		"well":                             {slo.Inactive, false, false, "", ""},
		"well, and the configuration's":    {slo.Inactive, true, false, "NothingMeasured", "NothingMeasured"},
		"burning, and the configuration's": {slo.Firing, true, false, "ErrorBudgetBurn NothingMeasured", "ErrorBudgetBurn NothingMeasured"},
	} {
		t.Run(name, func(t *testing.T) {
			c2, store, out := &clock{start}, &memory{}, &sent{}
			firing := func(state slo.AlertState, silence time.Duration) string {
				t.Helper()
				in := Input{Objective: "apiserver", Group: "eu", Status: status(c2.now, state, silence), MayVanish: !c.named, MayFallSilent: c.fallsSilent}
				if err := newManager(store, c2, options, out).Tick(t.Context(), []Input{in}); err != nil {
					t.Fatal(err)
				}
				var names []string
				for _, a := range out.last() {
					if a.Firing() {
						names = append(names, a.Key.Name)
					}
				}
				return strings.Join(names, " ")
			}
			firing(c.before, 0)
			for _, at := range []struct {
				silence time.Duration
				want    string
			}{{20 * time.Minute, c.soon}, {24*time.Hour - time.Minute, c.soon}, {24 * time.Hour, c.nextDay}, {25 * time.Hour, c.nextDay}} {
				c2.now = start.Add(at.silence)
				if got := firing(slo.Frozen, at.silence); got != at.want {
					t.Errorf("after %s without a slice: %q fire, want %q", at.silence, got, at.want)
				}
			}
		})
	}
}

func TestSilenceIsToldToEverybodyOfThePolicies(t *testing.T) {
	in := Input{Objective: "login", Targets: map[string][]string{"ticket": {"queue", "team"}, "info": {"team"}}}
	for _, c := range []struct {
		key  Key
		want string
	}{
		{Key{Burn, "login", "", "ticket"}, "queue,team"}, {Key{Burn, "login", "", "page"}, ""}, {Key{NoData, "login", "", "page"}, "queue,team"},
		{Key{NoData, "login", "", "info"}, "team"},
	} {
		if got := labels(c.key, in)["targets"]; got != c.want {
			t.Errorf("%s is for %q, want %q", c.key, got, c.want)
		}
	}
}

func TestGroupsAndPoliciesAreInTheAlerts(t *testing.T) {
	c, store, out := &clock{start}, &memory{}, &sent{}
	m := newManager(store, c, Options{}, out)
	tick := func(inputs ...Input) []Alert {
		t.Helper()
		if err := m.Tick(t.Context(), inputs); err != nil {
			t.Fatal(err)
		}
		c.now = c.now.Add(time.Minute)
		return out.last()
	}
	input := func(group string, state slo.AlertState) Input {
		return Input{Objective: "login", Group: group, Status: pairStatus(c.now, state, 0, 0), Targets: map[string][]string{"page": {"on-call", "queue"}, "ticket": {"queue"}}, Quiet: true}
	}
	got := tick(input("", slo.Inactive), input("eu", slo.Firing), input("us", slo.Inactive))
	want := map[string]string{"alertname": Burn, "objective": "login", "group": "eu", "severity": "page", "targets": "on-call,queue", "send_resolved": "false"}
	if len(got) != 1 || cmp.Diff(want, got[0].Labels) != "" || got[0].Annotations["summary"] != "eu in login burns its error budget too fast" {
		t.Fatalf("sent %+v", got)
	}
	// Nothing at all can be told: the groups are held, too, though nobody names them.
	for range 30 {
		if got = tick(Input{Objective: "login"}); len(got) != 1 || !got[0].Firing() {
			t.Fatalf("without any status: %+v", got)
		}
	}
	if got = tick(input("", slo.Inactive), input("us", slo.Inactive)); len(got) != 1 || got[0].Firing() {
		t.Errorf("eu is gone: %+v", got)
	}
}

// evaluated is a real status.
func evaluated(t *testing.T, at time.Time, values string, options Options) *slo.Status {
	t.Helper()
	grid := slo.EpochGrid(5 * time.Minute)
	var in []slo.Slice
	from := at.Add(-time.Duration(len(values)) * grid.Step)
	for i, letter := range values {
		s := slo.Slice{Start: from.Add(time.Duration(i) * grid.Step), State: slo.Measured, Total: 1}
		switch letter {
		case '1':
			s.Good = 1
		case '_':
			continue
		}
		in = append(in, s)
	}
	s, err := slo.Evaluate(slo.Request{
		Objective: slo.Objective{Name: "login", Target: 0.9, Window: slo.RollingWindow(4 * time.Hour), Method: slo.Timeslices, TimeSliceTarget: 1, MinCoverage: 0.9, Alerts: []slo.AlertWindow{}},
		Grid:      grid, At: at, Since: at.Add(-24 * time.Hour), BurnWindows: options.BurnWindows(),
	}, in)
	if err != nil {
		t.Fatal(err)
	}
	return &s
}

func TestAlertsBesidesBurnRates(t *testing.T) {
	ones := strings.Repeat("1", 48)
	options := Options{ExhaustedSeverity: "ticket", ForecastSeverity: "warn", ForecastWithin: 2 * time.Hour, NoDataSeverity: "page", NoDataAfter: 15 * time.Minute}
	for name, c := range map[string]struct {
		values string
		want   string // alerts that fire
	}{
		"all is well":               {ones, ""},
		"the budget is used up":     {ones[:43] + "00000", Exhausted},
		"just used up":              {strings.Repeat("1", 38) + strings.Repeat("0", 10), Exhausted},
		"it will be soon":           {ones[:46] + "00", Forecast},
		"one bad slice, far enough": {"0" + ones[:47], ""},
		"nobody has measured":       {ones[:45] + "___", NoData},
		"nobody for a short while":  {ones[:46] + "__", ""},
		"too little to be trusted":  {strings.Repeat("_", 10) + ones[:28] + strings.Repeat("0", 10), ""},
	} {
		t.Run(name, func(t *testing.T) {
			clk, out := &clock{start}, &sent{}
			if err := newManager(&memory{}, clk, options, out).Tick(t.Context(), []Input{{Objective: "login", Status: evaluated(t, start, c.values, options)}}); err != nil {
				t.Fatal(err)
			}
			silent := Input{Objective: "login", Status: evaluated(t, start, c.values, options), MayFallSilent: true}
			for _, seen := range options.observe(silent, true) {
				if seen.key.Name == NoData {
					t.Errorf("an alert about silence where there may be some")
				}
			}
			var names []string
			for _, a := range out.last() {
				names = append(names, a.Key.Name)
				if a.Annotations["summary"] == "" {
					t.Errorf("%s says nothing", a.Key)
				}
			}
			if got := strings.Join(names, " "); got != c.want {
				t.Errorf("firing: %q, want %q", got, c.want)
			}
		})
	}
}

func TestAStoreThatFailsNeitherForgetsNorStops(t *testing.T) {
	c, out := &clock{start}, &sent{}
	store := &memory{loadFails: errors.New("away")}
	m := newManager(store, c, Options{}, out)
	firing := func() []Input {
		return []Input{{Objective: "login", Status: pairStatus(c.now, slo.Firing, 0, 0)}}
	}
	if err := m.Tick(t.Context(), firing()); err == nil || len(out.ticks) != 0 {
		t.Fatalf("ticked without a memory: %v", err)
	}
	store.loadFails = nil
	if err := m.Tick(t.Context(), firing()); err != nil {
		t.Fatal(err)
	}
	c.now = c.now.Add(time.Minute)
	store.loadFails, store.saveErr = errors.New("away"), errors.New("full")
	err := m.Tick(t.Context(), firing())
	if err == nil || !strings.Contains(err.Error(), "away") || !strings.Contains(err.Error(), "full") {
		t.Errorf("error %v", err)
	}
	if got := out.last(); len(got) != 1 || !got[0].StartsAt.Equal(start) {
		t.Errorf("sent %+v", got)
	}
}

func TestTwoReplicasShareOneMemory(t *testing.T) {
	c, store := &clock{start}, &memory{}
	a, b := &sent{}, &sent{}
	first, second := newManager(store, c, Options{}, a), newManager(store, c, Options{}, b)
	for i := range 4 {
		state := slo.Firing
		if i == 3 {
			state = slo.Inactive
		}
		in := []Input{{Objective: "login", Status: pairStatus(c.now, state, 0, 0)}}
		for _, m := range []*Manager{first, second} {
			if err := m.Tick(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			c.now = c.now.Add(10 * time.Second)
		}
		// The second replica still has older data: it changes nothing.
		if err := second.Tick(t.Context(), []Input{{Objective: "login", Status: pairStatus(c.now.Add(-5*time.Minute), slo.Inactive, 0, 0)}}); err != nil {
			t.Fatal(err)
		}
		if x, y := a.last()[0], b.last()[0]; cmp.Diff(x, y) != "" || !x.StartsAt.Equal(start) {
			t.Fatalf("minute %d: %+v and %+v", i, x, y)
		}
		c.now = c.now.Add(time.Minute)
	}
}

func TestConditionsAreToldApartByTheirWindows(t *testing.T) {
	seen := map[string]int{}
	var got []string
	for _, a := range []slo.AlertWindow{{Long: time.Hour, Short: 5 * time.Minute}, {Long: time.Hour, Short: 5 * time.Minute, Factor: 3}, {Long: time.Hour, Short: time.Hour}} {
		got = append(got, conditionName(a, seen))
	}
	if fmt.Sprint(got) != "[1h/5m 1h/5m#2 1h/1h]" {
		t.Errorf("names %v", got)
	}
}
