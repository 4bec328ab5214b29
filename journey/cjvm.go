package journey

// Map is a customer journey value map (CJVM): phases, the activities in them, and for each activity and perspective
// the metrics that show whether it works, or a declared gap.
type Map struct {
	Title        string        `yaml:"title" json:"title"`
	Perspectives []Perspective `yaml:"perspectives" json:"perspectives"`
	Phases       []Phase       `yaml:"phases" json:"phases"`
}

// Perspective is a group of people who look at the map with one interest.
type Perspective struct {
	ID    string `yaml:"id" json:"id"`
	Title string `yaml:"title" json:"title"`
	// Customer is true for those who decide on the product, false for those who use it.
	Customer bool `yaml:"customer" json:"customer"`
}

// Phase is a part of the journey: Creation, Operation, Cleanup.
type Phase struct {
	ID         string     `yaml:"id" json:"id"`
	Title      string     `yaml:"title" json:"title"`
	Activities []Activity `yaml:"activities" json:"activities"`
}

// Activity is something that people do in a phase, with one cell per perspective.
type Activity struct {
	ID    string `yaml:"id" json:"id"`
	Title string `yaml:"title" json:"title"`
	Cells []Cell `yaml:"cells" json:"cells"`
}

// Cell is what one perspective sees of one activity: metrics, or a declared gap with its reason.
type Cell struct {
	Perspective string `yaml:"perspective" json:"perspective"`
	// Need says what these people want here.
	Need    string       `yaml:"need,omitempty" json:"need,omitempty"`
	Metrics []CellMetric `yaml:"metrics,omitempty" json:"metrics,omitempty"`
	Gap     *Gap         `yaml:"gap,omitempty" json:"gap,omitempty"`
}

// CellMetric places a metric in a cell, with the behaviour that is expected there.
type CellMetric struct {
	Metric string `yaml:"metric" json:"metric"`
	// Expect is the direction in which the metric is expected to move.
	Expect Direction `yaml:"expect" json:"expect"`
	// Target is the value to reach, in the metric's unit; nil: none was set.
	Target *float64 `yaml:"target,omitempty" json:"target,omitempty"`
	// Note says what the figure validates here.
	Note string `yaml:"note,omitempty" json:"note,omitempty"`
}

// Gap declares that a cell has no metric yet, and why.
type Gap struct {
	Reason string `yaml:"reason" json:"reason"`
}

// Shown is a map with the values of one period filled in.
type Shown struct {
	Map    Map         `json:"map"`
	Period Period      `json:"period"`
	Cells  []ShownCell `json:"cells"`
}

// ShownCell is one cell of a shown map.
type ShownCell struct {
	Phase       string        `json:"phase"`
	Activity    string        `json:"activity"`
	Perspective string        `json:"perspective"`
	Need        string        `json:"need,omitempty"`
	Figures     []ShownFigure `json:"figures,omitempty"`
	Gap         string        `json:"gap,omitempty"`
}

// State says how a figure stands against what the map expects of it.
type State string

// The states of a figure.
const (
	StateMet     State = "met"     // the target is reached
	StateMissed  State = "missed"  // it is not
	StateNoData  State = "no_data" // the value is undefined or withheld
	StateUnrated State = "unrated" // the map sets no target
)

// Trend says how a figure moved against the period before, judged by the expected direction.
type Trend string

// The trends of a figure.
const (
	TrendBetter  Trend = "better"
	TrendWorse   Trend = "worse"
	TrendSame    Trend = "same"
	TrendUnknown Trend = "unknown"
)

// ShownFigure is a metric of a cell with its value.
type ShownFigure struct {
	Metric Metric     `json:"metric"`
	Place  CellMetric `json:"place"`
	Value  Value      `json:"value"`
	State  State      `json:"state"`
	Trend  Trend      `json:"trend"`
	// Error is set when the value could not be computed; the rest of the map is shown all the same.
	Error string `json:"error,omitempty"`
}

// MetricIDs are the metrics of all cells, each once, in the map's order.
func (m Map) MetricIDs() []string {
	var out []string
	seen := map[string]bool{}
	for _, phase := range m.Phases {
		for _, activity := range phase.Activities {
			for _, c := range activity.Cells {
				for _, place := range c.Metrics {
					if !seen[place.Metric] {
						seen[place.Metric] = true
						out = append(out, place.Metric)
					}
				}
			}
		}
	}
	return out
}
