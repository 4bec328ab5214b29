package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/reports"
	"github.com/kubevalue/kubevalue/slo/openslo"
)

func sloOpenSLOCommand() *cobra.Command {
	return group("openslo", "Check and write OpenSLO v1 documents",
		`Objectives are OpenSLO v1 documents, as YAML with many documents, lists of objects, or JSON. All kinds are read and written: Service, DataSource, SLI,
AlertNotificationTarget, AlertCondition, AlertPolicy and SLO. What the configuration lists under objectives.openslo is in force at the next start
of the service; these commands tell beforehand what a document means.`,
		openSLOCheckCommand(), openSLOExportCommand())
}

func openSLOCheckCommand() *cobra.Command {
	var strict bool
	cmd := &cobra.Command{
		Use:   "check FILE…",
		Short: "Say what OpenSLO documents mean, and what is wrong with them",
		Long: `Reads documents as the service does, without asking where their data is, and prints the objectives that they define. Mistakes that can be understood
all the same are warnings; --strict refuses them, as objectives.strict does in the configuration. Each finding has file, line, column and, in
brackets, the rule. References may lead from one file to another: name all of them. - stands for standard input. Exit code 1 when something is refused.`,
		Example: "  kubevalue slo openslo check slo/*.yaml\n  kubevalue slo openslo check --strict vendor.yaml",
		Args:    atLeastOne("the FILEs to check"),
		RunE: func(cmd *cobra.Command, args []string) error {
			result, err := importFiles(cmd.InOrStdin(), args, strict)
			for _, warning := range result.Warnings {
				fmt.Fprintln(cmd.OutOrStdout(), "warning:", warning)
			}
			if err != nil {
				return err
			}
			return printDocuments(cmd.OutOrStdout(), result)
		},
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "refuse what is only understood in spite of a mistake")
	return cmd
}

// importFiles reads documents; the error lists each refusal with its place.
func importFiles(stdin io.Reader, names []string, strict bool) (openslo.Result, error) {
	var sources []openslo.Source
	for _, name := range names {
		shown, text, err := readInput(stdin, name)
		if err != nil {
			return openslo.Result{}, fmt.Errorf("read an OpenSLO document: %w", err)
		}
		sources = append(sources, openslo.Source{Name: shown, Text: text})
	}
	result, err := openslo.Import(sources, strict)
	var findings openslo.Findings
	if errors.As(err, &findings) {
		err = fmt.Errorf("mistakes in OpenSLO documents: %d\n%w", len(findings), findings)
	}
	return result, err
}

func printDocuments(out io.Writer, r openslo.Result) error {
	d := r.Document
	fmt.Fprintf(out, "%d services, %d data sources, %d SLIs, %d notification targets, %d alert conditions, %d alert policies, %d SLOs\n",
		len(d.Services), len(d.DataSources), len(d.SLIs), len(d.Notifications), len(d.Conditions), len(d.Policies), len(d.SLOs))
	if len(r.Objectives) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "OBJECTIVE\tSERVICE\tTARGET\tWINDOW\tBUDGETED BY\tMEASURED BY\tALERTS")
	for _, o := range r.Objectives {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", o.Definition.Name, o.Service, reports.Ratio(o.Definition.Target), o.Definition.Window, budgetedBy(o), measuredBy(o), askedAlerts(o))
	}
	return w.Flush()
}

// budgetedBy is the method of an objective, which for a composite follows from its kind.
func budgetedBy(o openslo.Objective) string {
	if c := o.Definition.Composite; c != nil {
		return fmt.Sprintf("%s of %d indicators", c.Kind, len(c.Of))
	}
	return string(o.Definition.Method)
}

// measuredBy are the types of the indicators' sources.
func measuredBy(o openslo.Objective) string {
	types := map[string]bool{}
	for _, child := range o.Children {
		types[child.Type()] = true
	}
	if o.Indicator != nil {
		types[o.Indicator.Type()] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(types)), ", ")
}

// askedAlerts says what a document asks for; without policies these are the usual pairs of windows.
func askedAlerts(o openslo.Objective) string {
	var out []string
	for _, a := range o.Definition.Alerts {
		out = append(out, a.String())
	}
	if o.Definition.Alerts == nil {
		out = append(out, "the usual ones")
	}
	if o.AlertNoData && o.Definition.Alerts != nil {
		out = append(out, "no data")
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

func openSLOExportCommand() *cobra.Command {
	var strict bool
	var at string
	cmd := &cobra.Command{
		Use:   "export [FILE…]",
		Short: "Write the configured objectives, or those of FILEs, as one OpenSLO document",
		Long: `Writes all objects, with references as they are, in one form: services and data sources first, SLOs last. What it writes is read as the same objectives.

With --at it writes the definitions that were in force at a time, as the service has recorded them: each an SLO with its indicators inline, by the
slices that they were measured in, and what OpenSLO has no field for in annotations. An objective that OpenSLO cannot say (slices or alerts of
less than a minute) is left out, with a warning that says why; --strict refuses it, and writes nothing.`,
		Example: "  kubevalue slo openslo export > all.yaml\n  kubevalue slo openslo export --at 2026-10-01",
	}
	path := configFlag(cmd)
	cmd.Flags().BoolVar(&strict, "strict", false, "refuse what is only understood in spite of a mistake, and what cannot be written")
	cmd.Flags().StringVar(&at, "at", "", "definitions in force at this date or time, of the configured warehouse")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if at != "" {
			if len(args) > 0 {
				return usageError{err: errors.New("--at asks the warehouse: leave the FILEs out"), text: cmd.UsageString()}
			}
			return withFigures(cmd, *path, func(f *figures) error { return f.exportInForce(cmd, at, strict || f.cfg.Objectives.Strict) })
		}
		if len(args) == 0 {
			cfg, err := loadConfig(*path)
			if err != nil {
				return err
			}
			if args, err = cfg.openSLOFiles(); err != nil {
				return err
			}
			strict = strict || cfg.Objectives.Strict
		}
		result, err := importFiles(cmd.InOrStdin(), args, strict)
		if err != nil {
			return err
		}
		for _, warning := range result.Warnings {
			fmt.Fprintln(cmd.ErrOrStderr(), "warning:", warning)
		}
		return openslo.Export(cmd.OutOrStdout(), result.Document)
	}
	return cmd
}

// exportInForce writes the definitions of a time; strict refuses all of them when one cannot be written.
func (f *figures) exportInForce(cmd *cobra.Command, at string, strict bool) error {
	when, err := f.cfg.instant(at)
	if err != nil {
		return fmt.Errorf("--at: %w", err)
	}
	all, err := f.objectives.inForce(cmd.Context(), when.Add(time.Millisecond)) // one that starts then is wanted
	if err != nil {
		return err
	}
	document, unsaid := documentOf(all)
	if strict && len(unsaid) > 0 {
		return errors.Join(unsaid...)
	}
	for _, err := range unsaid {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning: left out:", err)
	}
	return openslo.Export(cmd.OutOrStdout(), document)
}

// documentOf writes objectives down, with a notification target for each severity of their alerts, and says of each that it leaves out why.
func documentOf(all []configuredObjective) (out openslo.Document, unsaid []error) {
	severities := map[string]bool{}
	for _, o := range all {
		exported, err := openslo.FromObjective(o.Definition, o.Service, o.Grid.Step, o.exportedIndicators())
		if err != nil {
			unsaid = append(unsaid, err)
			continue
		}
		if !o.AlertNoData {
			for _, policy := range exported.Spec.AlertPolicies {
				spec := &policy.Inline.Spec
				spec.AlertWhenNoData, spec.AlertWhenResolved = new(false), true // a policy must ask for something
			}
		}
		exported.Metadata.DisplayName, exported.Metadata.Labels, exported.Spec.Description = o.DisplayName, o.Labels, o.Description
		out.SLOs = append(out.SLOs, exported)
		for _, a := range o.Definition.Alerts {
			severities[a.Severity] = true
		}
	}
	for _, severity := range slices.Sorted(maps.Keys(severities)) {
		out.Notifications = append(out.Notifications, openslo.Object[openslo.NotificationSpec]{
			APIVersion: openslo.APIVersion, Kind: openslo.KindNotification, Metadata: openslo.Metadata{Name: severity}, Spec: openslo.NotificationSpec{Target: severity},
		})
	}
	return out, unsaid
}

// exportedIndicators name the slices that an objective is computed from.
func (o configuredObjective) exportedIndicators() map[string]openslo.SLISpec {
	sli := func(spec map[string]any) openslo.SLISpec {
		return openslo.SLISpec{RatioMetric: &openslo.RatioMetric{
			Raw: &openslo.Metric{MetricSource: openslo.MetricSource{Type: "kubevalue", Spec: spec}}, RawType: "success",
		}}
	}
	if len(o.Groups) > 0 {
		var names []any
		for _, m := range o.Groups {
			names = append(names, m.group)
		}
		return map[string]openslo.SLISpec{o.Definition.Name: sli(map[string]any{"probes": names})}
	}
	out := map[string]openslo.SLISpec{}
	for name, of := range o.Of {
		spec := map[string]any{"indicator": of.Name, "revision": of.Revision, "slice": o.Grid.Step.String()}
		if of.Group != "" {
			spec["group"] = of.Group
		}
		if o.PerGroup {
			spec["per"] = "group"
		}
		out[name] = sli(spec)
	}
	return out
}
