package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kubevalue/kubevalue/collectors/probe"
	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/reports"
	"github.com/kubevalue/kubevalue/slo"
	"github.com/kubevalue/kubevalue/slo/openslo"
)

// locateGroups reads a metric source that makes an objective one per group: {probes: [NAME, eu-*]}, each probe being a group, or
// {indicator: NAME, slice: 5m, per: group}, each group that sends slices being one. false: it is neither.
func (o *configuredObjective) locateGroups(ind openslo.Indicator, from *sliceSources) (found bool, step time.Duration, err error) {
	if ind.Type() != "kubevalue" || len(ind.Sources()) != 1 {
		return false, 0, nil
	}
	spec := ind.Sources()[0].Spec
	if per, ok := spec["per"]; ok {
		if per != "group" {
			return true, 0, fmt.Errorf("per: %v is not known; write per: group", per)
		}
		at, length, err := from.indicator(ind, o.Objective)
		if err != nil {
			return true, 0, err
		}
		o.Of, o.PerGroup = map[string]indicator{o.Definition.Name: at}, true
		return true, length, nil
	}
	patterns, ok := spec["probes"]
	if !ok {
		return false, 0, nil
	}
	names, err := probesNamed(patterns, from.probes)
	if err != nil {
		return true, 0, err
	}
	o.Of = map[string]indicator{}
	for _, name := range names {
		p := from.probes[name]
		if step != 0 && step != p.Slice {
			return true, 0, fmt.Errorf("its probes have slices of %s and of %s: give them the same length", step, p.Slice)
		}
		of := indicator{Name: p.Name, Revision: probe.Revision(p), Group: p.Group}
		step, o.Of[name], o.Groups = p.Slice, of, append(o.Groups, member{name, of})
	}
	return true, step, nil
}

// probesNamed lists the probes that patterns name, in order.
func probesNamed(patterns any, probes map[string]probe.Target) ([]string, error) {
	list, ok := patterns.([]any)
	if !ok || len(list) == 0 {
		return nil, errors.New("probes must be a list of names or patterns, such as [apiserver-eu, apiserver-us-*]")
	}
	known := slices.Sorted(maps.Keys(probes))
	found := map[string]bool{}
	for _, one := range list {
		pattern, _ := one.(string)
		matched := false
		for _, name := range known {
			ok, err := path.Match(pattern, name)
			if err != nil {
				return nil, fmt.Errorf("probes: %q is no pattern: %w", pattern, err)
			}
			if ok {
				found[name], matched = true, true
			}
		}
		if !matched {
			return nil, fmt.Errorf("there is no probe %q in the configuration%s", pattern, suggestion(pattern, known))
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// ofGroup narrows an objective per group to one of its groups; others are returned as they are.
func (s *objectiveSet) ofGroup(ctx context.Context, o configuredObjective, group string, at time.Time) (configuredObjective, error) {
	if !o.grouped() {
		if group != "" {
			return o, dashboards.BadRequestError{Why: fmt.Sprintf("objective %s has no groups", o.Definition.Name)}
		}
		return o, nil
	}
	members, err := s.members(ctx, o, at)
	if err != nil {
		return o, err
	}
	var names []string
	for _, m := range members {
		if m.group == group && group != "" {
			o.Of, o.Groups, o.PerGroup = map[string]indicator{o.Definition.Name: m.of}, nil, false
			return o, nil
		}
		names = append(names, m.group)
	}
	return o, dashboards.BadRequestError{Why: fmt.Sprintf("objective %s is per group: say which one, of %s", o.Definition.Name, strings.Join(names, ", "))}
}

// groupedObjective is an objective with its status now, and that of each of its groups.
type groupedObjective struct {
	dashboards.Objective
	Groups []slo.NamedStatus `json:"groups,omitempty"`
	// Worst is the group with the least budget remaining; Undefined are those of which nothing can be said.
	Worst     string   `json:"worst_group,omitempty"`
	Undefined []string `json:"undefined_groups,omitempty"`
}

// withGroups are objectives now; the status of one per group is that of all groups together.
func (s *objectiveSet) withGroups(ctx context.Context, of []configuredObjective) ([]groupedObjective, error) {
	shown, groups, err := s.shownGroups(ctx, of)
	if err != nil {
		return nil, err
	}
	out := make([]groupedObjective, len(shown))
	for i, o := range shown {
		out[i] = groupedObjective{Objective: o}
		if g := groups[i]; g != nil {
			out[i].Groups, out[i].Worst, out[i].Undefined = g.Groups, g.Worst, g.Undefined
		}
	}
	return out, nil
}

func (o groupedObjective) printGroups(out io.Writer) error {
	if len(o.Groups) == 0 {
		return nil
	}
	fmt.Fprintf(out, "\n%d groups, worst %s; the figures above are of all together\n", len(o.Groups), orDash(o.Worst))
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "GROUP\tSLI\tBUDGET USED\tLEFT\tLEFT (MIN)\tCOVERAGE\tALERTS")
	for _, g := range o.Groups {
		s := g.Status
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", orDash(g.Group), optionalText(s.SLI, reports.Ratio), optionalText(s.Consumed, reports.Ratio), optionalText(s.Remaining, reports.Ratio),
			optionalText(s.RemainingMinutes, reports.Number), coverageText(&s), alertText(&s))
	}
	return w.Flush()
}
