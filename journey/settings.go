package journey

// Settings are what the reporting organisation decides once for all figures.
type Settings struct {
	Calendar Calendar
	// SmallGroup is the least number of people behind a figure about people; smaller groups are withheld, and with them as many others that
	// the difference to the whole does not tell of them. 0: off.
	SmallGroup int
	// MinSample switches the metrics' minimum samples on.
	MinSample bool
	// NotValue are names of events that are no value events.
	NotValue []string
}

// DefaultNotValue are the events that say that somebody looked, or whom they are with, not that somebody got value from the product.
var DefaultNotValue = []string{"login", "page.visit", "page.view", "report.visit", "dashboard.visit", "survey.answer", "actor.group"}

// DefaultSmallGroup is the least number of people that a figure about people may speak of.
const DefaultSmallGroup = 5
