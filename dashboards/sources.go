package dashboards

import (
	"context"
	"time"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/analysis"
	"github.com/kubevalue/kubevalue/reports"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/slo"
)

// Sources is where figures come from. Journey, Objectives and Metric are needed; where another one is nil, the pages say in a
// sentence what is left out and why. A period is 2026-W46, 2026-11, 2026-Q4 or a day; empty: the last complete week. What does
// not exist is a NotFoundError, a period that cannot be read a BadRequestError.
type Sources struct {
	// Journey is the journey map with the values of a period.
	Journey func(ctx context.Context, period string) (journey.Shown, error)
	// Objectives are all objectives with their present status, ordered by name.
	Objectives func(ctx context.Context) ([]Objective, error)
	// Metric is the values of one metric over the periods up to the given one, the last first.
	Metric func(ctx context.Context, id, period string, periods int) (journey.Metric, []journey.Value, error)

	// Metrics are the definitions of the catalogue.
	Metrics func(ctx context.Context) ([]journey.Metric, error)
	// Series is the values of several metrics over a span, oldest first, by the metric's id; metrics that cannot be computed are
	// missing in it. It draws the small lines of the journey map.
	Series func(ctx context.Context, metrics []string, span Span) (map[string][]journey.Value, error)
	// Statements are the statements of a metric as they were run for a period, with the parameters that were bound.
	Statements func(ctx context.Context, id, period string) ([]Statement, error)
	// Published are the values of a metric in the periods up to the given one as they were published, by period and then by revision.
	Published func(ctx context.Context, id, period string, periods int) ([]Revision, error)
	// Split is a metric in a period by one of its dimensions, in any order.
	Split func(ctx context.Context, id, period, by string) ([]journey.Value, error)
	// Objective is all that there is to say about one objective now.
	Objective func(ctx context.Context, name string) (ObjectiveDetail, error)
	// Budgets answers one of the questions of `kubevalue slo`, such as compare, with a value that has JSON; arguments are the question's
	// own, those left out have their defaults. nil: the questions are not answered.
	Budgets func(ctx context.Context, question string, arguments map[string]string) (any, error)
	// Active counts active people or teams.
	Active func(ctx context.Context, entity analysis.Entity, span Span) ([]analysis.ActiveRow, error)
	// Adoption is the share of the eligible teams that were active; voluntary selects roster entries, nil: all.
	Adoption func(ctx context.Context, voluntary *bool, span Span) ([]analysis.AdoptionRow, error)
	// Lifecycle splits the active people or teams by what they did before.
	Lifecycle func(ctx context.Context, entity analysis.Entity, span Span) ([]analysis.LifecycleRow, error)
	// Retention follows people or teams from the period of their first activity, exactly period by period.
	Retention func(ctx context.Context, entity analysis.Entity, span Span) ([]analysis.RetentionRow, error)
	// Teams says which teams joined, returned, stalled and left in a period; Figures need not be filled.
	Teams func(ctx context.Context, period string) (reports.Adoption, error)
	// Fleet is the clusters that are or were connected.
	Fleet func(ctx context.Context) ([]Cluster, error)
	// Targets is how the newest try to read, probe or ask each target went; nil: nobody knows.
	Targets func() []Target

	// Visit takes note of a page that somebody looked at. It is called after the answer was made and must not block.
	Visit func(ctx context.Context, v Visit)
}

// Span is a number of consecutive periods of one grain, of which Period is the last; see Sources for its form.
type Span struct {
	Period  string
	Periods int
}

// Objective is an objective with its status at the watermark.
type Objective struct {
	Name        string `json:"name"`
	Service     string `json:"service"`
	Description string `json:"description,omitempty"`
	Window      string `json:"window"`
	Method      string `json:"method"`
	Zone        string `json:"timezone"`
	// Error is set when the status could not be computed; the others are shown all the same.
	Error  string      `json:"error,omitempty"`
	Status *slo.Status `json:"status"`
}

// ObjectiveDetail is an objective with what explains its status. Each part but the first may be missing.
type ObjectiveDetail struct {
	Objective
	// BurnDown is what was left of the budget in the course of the status's window, oldest first: 1 at its beginning,
	// Status.Remaining at its watermark. A point where nothing could be said is nil.
	BurnDown []BudgetPoint `json:"burn_down"`
	// Incidents concern the objective and overlap the window.
	Incidents []schema.Incident `json:"incidents"`
	// Exclusions are those that apply to the objective.
	Exclusions []slo.Exclusion `json:"-"`
	// Definition and Formulas are those of slo.Explanation.
	Definition []string `json:"definition"`
	Formulas   []string `json:"formulas"`
}

// BudgetPoint is a point of a burn-down: the share of the whole window's budget, below 0 when more than all of it is used, that
// would be left if nothing bad had happened after At.
type BudgetPoint struct {
	At        time.Time `json:"at"`
	Remaining *float64  `json:"budget_remaining"`
}

// Revision is the value of a closed period as it was published. Revision 1 stays what it was; later ones say why they differ.
type Revision struct {
	Number uint32
	// Reason is "closed" for the first one, else what has changed since, such as "late data".
	Reason string
	Value  journey.Value
}

// Statement is SQL as it was run.
type Statement struct {
	// Name says what it computes, e.g. numerator.
	Name string
	SQL  string
	// Parameters are those that were bound, as text.
	Parameters map[string]string
	// Supporting statements are asked for all metrics: the others are the metric's own definition.
	Supporting bool
	// Rows is how many rows it returned, Took how long that lasted.
	Rows int
	Took time.Duration
}

// Cluster is a cluster of the fleet. A nil number is not known; a zero time too.
type Cluster struct {
	Name     string `json:"name"`
	Region   string `json:"region"`
	Provider string `json:"provider,omitempty"`
	// Version is the API server's, e.g. v1.37.2.
	Version string    `json:"version"`
	Created time.Time `json:"created,omitzero"`
	// LastContact is when the cluster was seen last.
	LastContact time.Time `json:"last_contact,omitzero"`
	Nodes       *int      `json:"nodes"`
	Namespaces  *int      `json:"namespaces"`
	Workloads   *int      `json:"workloads"`
	// Coverage is the measured share 0..1 of the seven days before now.
	Coverage *float64 `json:"coverage"`
	// Objectives are the names of the objectives about the cluster.
	Objectives []string `json:"objectives"`
	// Fault says what is wrong with the connection; empty: nothing.
	Fault string `json:"fault,omitempty"`
	// Error is the reason for the fault as the cluster or the network gave it, for those who mend it.
	Error string `json:"error,omitempty"`
	// Note is what else to know of the connection, which works.
	Note string `json:"note,omitempty"`
	// Kinds is how the watch of each kind of objects stands; empty: the cluster is not watched by this service.
	Kinds []WatchedKind `json:"kinds"`
}

// WatchedKind is how the watch of a kind of objects in a cluster stands.
type WatchedKind struct {
	Kind string `json:"kind"`
	// State is watched, reading (not all of it has been seen, or not lately) or not_served.
	State string `json:"state"`
	// Objects is how many are followed.
	Objects int `json:"objects"`
	// Error is why it cannot be read or watched; empty: it can.
	Error string `json:"error,omitempty"`
}

// Target is how the newest try to read a metrics page, or to probe something, went.
type Target struct {
	// Kind is scrape, probe or prometheus.
	Kind string `json:"kind"`
	// Name is the job of a metrics page, the probe, or the indicator that a Prometheus server is asked for; Instance the page's address, the
	// group of the probe, or the server's name.
	Name     string `json:"name"`
	Instance string `json:"instance"`
	// At is when it was tried; zero: never, as its job has too many targets.
	At time.Time `json:"at,omitzero"`
	// Series is how many series are remembered of a page, PassedOver how many of its samples that should count counted for nothing.
	Series     int `json:"series"`
	PassedOver int `json:"passed_over"`
	// Error is why it could not be read, or why the try was bad; empty: it could, and was good.
	Error string `json:"error,omitempty"`
}

// The states of a WatchedKind.
const (
	KindIsWatched   = "watched"
	KindIsRead      = "reading"
	KindIsNotServed = "not_served"
)

// Visit is a page that a person looked at.
type Visit struct {
	// Page is journey, metric/ID, objectives, objective/NAME, adoption or fleet.
	Page string
	// Role is the perspective of the journey map that the visitor chose to look from; empty: none.
	Role string
	// User is the name that the visitor gave with basic authentication or that the proxy passed on in Config.UserHeader; empty:
	// not known. It is a person's name: turn it into a pseudonym before it is stored.
	User string
}
