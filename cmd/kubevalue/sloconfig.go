package main

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/slo"
)

// PriceConfig is what an unavailable minute of a service costs.
type PriceConfig struct {
	Service string `yaml:"service"`
	// Objective is the one whose bad minutes are charged; needed when the service has several.
	Objective string `yaml:"objective"`
	// PerMinute is in units of Currency, e.g. EUR.
	PerMinute *float64 `yaml:"per_minute"`
	Currency  string   `yaml:"currency"`
	// From and To bound the price, half-open; empty: since ever, until further notice.
	From string `yaml:"from"`
	To   string `yaml:"to"`
	// Hours are hours of the week with another price.
	Hours []PriceHoursConfig `yaml:"hours"`
}

// PriceHoursConfig is a price for whole hours of the clock, e.g. 08:00 to 18:00, in the reporting zone.
type PriceHoursConfig struct {
	Days      []string `yaml:"days"`
	From      string   `yaml:"from"`
	To        string   `yaml:"to"`
	PerMinute *float64 `yaml:"per_minute"`
}

// EffectiveConfig says since when an objective has been what it is now, when that was agreed on before it was written down.
type EffectiveConfig struct {
	Objective string `yaml:"objective"`
	From      string `yaml:"from"`
	Reason    string `yaml:"reason"`
}

// checkEffective refuses statements about objectives that there are none of, and those without a reason.
func (c *Config) checkEffective(f *yamlFile, objectives []configuredObjective) {
	seen := map[string]bool{}
	for i, e := range c.Objectives.Effective {
		path := indexed("objectives.effective", i)
		if _, err := objectiveNamed(objectives, e.Objective); err != nil || e.Objective == "" {
			f.At(path+".objective", "%s", orText(err, "name the objective"))
		} else if seen[e.Objective] {
			f.At(path+".objective", "%q stands here twice", e.Objective)
		}
		seen[e.Objective] = true
		if from := c.checkInstant(f, path+".from", e.From); from.IsZero() && e.From == "" {
			f.At(path+".from", "since when? write a date or a time")
		}
		if e.Reason == "" {
			f.At(path+".reason", "a changed definition needs a reason: it revises what was published")
		}
	}
}

// effective are the statements about definitions, by objective.
func (c *Config) effective() map[string]effective {
	out := map[string]effective{}
	for _, e := range c.Objectives.Effective {
		from, _ := c.instant(e.From)
		out[e.Objective] = effective{from, e.Reason}
	}
	return out
}

func orText(err error, otherwise string) string {
	if err != nil {
		return err.Error()
	}
	return otherwise
}

// weekdaysOf reads names of days and ranges of them, such as monday-friday, each day once.
func weekdaysOf(names []string) ([]time.Weekday, error) {
	var out []time.Weekday
	for _, name := range names {
		first, last, isRange := strings.Cut(name, "-")
		if !isRange {
			last = first
		}
		from, ok := weekdays[first]
		to, known := weekdays[last]
		if !ok || !known {
			return nil, fmt.Errorf("%q is no day of the week: write monday, or a range such as monday-friday", name)
		}
		for day := from; ; day = (day + 1) % 7 {
			if slices.Contains(out, day) {
				return nil, fmt.Errorf("%q: %s stands here twice", name, strings.ToLower(day.String()))
			}
			out = append(out, day)
			if day == to {
				break
			}
		}
	}
	return out, nil
}

var clock = regexp.MustCompile(`^([01][0-9]|2[0-4]):([0-5][0-9])$`)

// clockTime reads 00:00 to 24:00 as the time since midnight on the clock.
func clockTime(text string) (time.Duration, error) {
	m := clock.FindStringSubmatch(text)
	if m == nil || m[1] == "24" && m[2] != "00" {
		return 0, fmt.Errorf("%q is no time of the day: write it from 00:00 to 24:00", text)
	}
	return time.ParseDuration(m[1] + "h" + m[2] + "m")
}

var currency = regexp.MustCompile(`^[A-Z]{3}$`)

// checkPrices refuses prices that are ambiguous, or that would charge a minute twice.
func (c *Config) checkPrices(f *yamlFile) {
	for i, p := range c.Prices {
		path := indexed("prices", i)
		if p.Service == "" {
			f.At(path+".service", "a price needs the service that it is of")
		}
		checkPerMinute(f, path+".per_minute", p.PerMinute)
		if !currency.MatchString(p.Currency) {
			f.At(path+".currency", "%q is no currency; write its three letters, e.g. EUR", p.Currency)
		}
		from, to := c.checkInstant(f, path+".from", p.From), c.checkInstant(f, path+".to", p.To)
		if !to.IsZero() && !from.Before(to) {
			f.At(path+".to", "%s is not after from (%s)", p.To, p.From)
		}
		checkPriceHours(f, path, p.Hours)
		for j, o := range c.Prices[:i] {
			if o.Service != p.Service {
				continue
			}
			if begin, end := c.bounds(o); (to.IsZero() || begin.Before(to)) && (end.IsZero() || from.Before(end)) {
				f.At(path, "it is in force at the same time as %s: give the older one a to", indexed("prices", j))
			}
			if o.Objective != p.Objective {
				f.At(path+".objective", "%q: %s charges the service by %q; all prices of a service charge by the same objective", p.Objective, indexed("prices", j), o.Objective)
			}
		}
	}
	if len(f.faults) == 0 && len(c.Prices) > 0 {
		c.checkPriced(f)
	}
}

func (c *Config) bounds(p PriceConfig) (from, to time.Time) {
	from, _ = c.instant(p.From)
	to, _ = c.instant(p.To)
	return from, to
}

func checkPerMinute(f *yamlFile, path string, v *float64) {
	switch {
	case v == nil:
		f.At(path, "what does an unavailable minute cost? write 0 if nothing")
	case !(*v >= 0) || math.IsInf(*v, 0):
		f.At(path, "%v: a price must be 0 or more", *v)
	}
}

func checkPriceHours(f *yamlFile, path string, hours []PriceHoursConfig) {
	taken := map[int]int{}
	for i, h := range hours {
		at := fmt.Sprintf("%s.hours[%d]", path, i)
		checkPerMinute(f, at+".per_minute", h.PerMinute)
		of, err := h.hours()
		if err != nil {
			f.At(at, "%v", err)
			continue
		}
		for _, hour := range of {
			if other, twice := taken[hour]; twice {
				f.At(at, "it overlaps with hours[%d]", other)
				break
			}
		}
		for _, hour := range of {
			taken[hour] = i
		}
	}
}

// hours are the hours of the week, from 0 for Monday 00:00.
func (h PriceHoursConfig) hours() ([]int, error) {
	days, err := weekdaysOf(h.Days)
	if err != nil {
		return nil, err
	}
	if len(days) == 0 {
		return nil, fmt.Errorf("it needs days: write [monday-friday]")
	}
	from, err := clockTime(h.From)
	if err != nil {
		return nil, err
	}
	to, err := clockTime(h.To)
	if err != nil {
		return nil, err
	}
	if from >= to || from%time.Hour != 0 || to%time.Hour != 0 {
		return nil, fmt.Errorf("%s to %s: write whole hours, to after from; split a span over midnight in two", h.From, h.To)
	}
	var out []int
	for _, day := range days {
		for hour := from; hour < to; hour += time.Hour {
			out = append(out, (int(day)+6)%7*24+int(hour/time.Hour))
		}
	}
	return out, nil
}

// checkPriced refuses prices of services without objectives, and those of several objectives without one of them named.
func (c *Config) checkPriced(f *yamlFile) {
	objectives, err := c.loadObjectives()
	if err != nil {
		return // checkObjectives has said so
	}
	byService := map[string][]string{}
	for _, o := range objectives {
		if !o.grouped() { // its minutes are those of all groups together, which is no time that a service was down
			byService[o.Service] = append(byService[o.Service], o.Definition.Name)
		}
	}
	for i, p := range c.Prices {
		path, names := indexed("prices", i), byService[p.Service]
		switch {
		case len(names) == 0:
			f.At(path+".service", "no objective is of the service %q, those per group aside", p.Service)
		case p.Objective == "" && len(names) > 1:
			f.At(path, "the service %q has several objectives (%s): say with objective: which one's bad minutes are charged, since a minute costs once", p.Service, strings.Join(names, ", "))
		case p.Objective != "" && !slices.Contains(names, p.Objective):
			f.At(path+".objective", "%q is no objective of the service %q%s", p.Objective, p.Service, suggestion(p.Objective, names))
		}
	}
}

// currencyOfMinutes is that of all prices of minutes; empty: there are none, or several.
func (c *Config) currencyOfMinutes() string {
	one := ""
	for i, p := range c.Prices {
		if i > 0 && p.Currency != one {
			return ""
		}
		one = p.Currency
	}
	return one
}

// pricing are the price lists by service, in order of name. They were checked when the configuration was loaded.
func (c *Config) pricing(objectives []configuredObjective) []pricing {
	var out []pricing
	for _, p := range c.Prices {
		i := slices.IndexFunc(out, func(l pricing) bool { return l.service == p.Service })
		if i < 0 {
			i = len(out)
			list := pricing{service: p.Service, objective: p.Objective}
			for _, o := range objectives {
				if list.objective == "" && o.Service == p.Service && !o.grouped() {
					list.objective = o.Definition.Name
				}
			}
			out = append(out, list)
		}
		out[i].prices = append(out[i].prices, c.price(p))
	}
	slices.SortFunc(out, func(a, b pricing) int { return strings.Compare(a.service, b.service) })
	return out
}

func (c *Config) price(p PriceConfig) slo.Price {
	from, to := c.bounds(p)
	out := slo.Price{Service: p.Service, From: from, To: to, Currency: p.Currency}
	for h := range out.PerMinute {
		out.PerMinute[h] = *p.PerMinute
	}
	for _, special := range p.Hours {
		hours, _ := special.hours()
		for _, h := range hours {
			out.PerMinute[h] = *special.PerMinute
		}
	}
	return out
}
