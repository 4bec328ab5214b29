package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/cmd/kubevalue/demo"
	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/reports"
)

// demoOptions say which organisation is simulated, and where.
type demoOptions struct {
	dir, listen string
	seed        uint64
	weeks       int
	exit        bool
}

func demoCommand() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the service with a simulated organisation",
		Long: `Starts the service on the embedded engine and lets a simulated organisation speak to it through the real front doors: 12 clusters in three
regions, 40 teams and 600 engineers over half a year, with an outage, the work that followed, a team that leaves and teams that were told to come. The same
seed gives the same organisation. Then it writes both weekly reports, prints where they and the pages are, and goes on until it is stopped: the organisation
works on at its own pace (people on weekdays from 7 to 17 UTC, clusters always), and what it does arrives every minute.

All of it is invented. The directory holds an ordinary configuration: look at it, or go on with ` + "`kubevalue serve`" + `.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.weeks < 2 || o.weeks > 104 {
				return usageError{err: fmt.Errorf("--weeks %d: want 2 to 104", o.weeks), text: cmd.UsageString()}
			}
			return runDemo(cmd, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.dir, "dir", "data/demo", "directory for configuration, tables and reports; emptied first if it holds an earlier demo")
	f.StringVar(&o.listen, "listen", "127.0.0.1:8420", "address of the pages and the API")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the organisation")
	f.IntVar(&o.weeks, "weeks", 26, "weeks to simulate, up to now")
	f.BoolVar(&o.exit, "exit", false, "stop when the reports are written")
	return cmd
}

// demoGuide says what to look at first; it is given the seconds that it took and the address.
const demoGuide = `Ready after %.0f s. Ctrl-C stops the service. What to look at:
  %[2]s/            where people get stuck, from creating over operating to cleaning up
  %[2]s/objectives  which error budgets are left, what used them, and which alert fires now
  %[2]s/adoption    who uses the platform by free choice, who stays, and who left
  %[2]s/fleet       which clusters there are, and whether they can be heard
`

func runDemo(cmd *cobra.Command, o demoOptions) error {
	began := time.Now()
	if err := clearDemo(o.dir); err != nil {
		return err
	}
	world := demo.NewWorld(o.seed, o.weeks, time.Now())
	path, err := writeDemo(o, world)
	if err != nil {
		return err
	}
	cfg, err := loadConfig(path)
	if err != nil {
		return err
	}
	s, err := newService(cmd.Context(), cfg, time.Now, quiet(cmd.ErrOrStderr()))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(cmd.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	doors, err := s.tellDemo(ctx, cmd, o, world)
	if err != nil {
		stop()
		return errors.Join(err, <-done)
	}
	took := time.Since(began).Seconds()
	if o.exit {
		fmt.Fprintf(cmd.OutOrStdout(), "Done after %.0f s. To see the pages: kubevalue serve --config %s\n", took, path)
		stop()
		return <-done
	}
	fmt.Fprintf(cmd.OutOrStdout(), demoGuide, took, s.url())
	go s.publishDemo(ctx, world.Start)
	go world.Live(ctx, doors, s.now, func(err error) {
		s.log.WarnContext(ctx, "the simulated organisation could not be heard, it tries again in a minute", "error", err)
	})
	return <-done
}

// publishDemo publishes budgets and metrics of the periods that have closed, which a service only does when a day has passed since their last
// event came in.
func (s *service) publishDemo(ctx context.Context, since time.Time) {
	_, err := s.figures.objectives.publish(ctx, since)
	if err == nil {
		_, err = s.figures.publishMetrics(ctx, publishOptions{Since: since})
	}
	if err != nil && ctx.Err() == nil {
		s.log.ErrorContext(ctx, "figures of closed periods could not be published", "error", err)
	}
}

// tellDemo sends the simulated organisation, waits until it is in the tables, and writes the reports. It returns the doors, which the
// organisation may go on to use.
func (s *service) tellDemo(ctx context.Context, cmd *cobra.Command, o demoOptions, world *demo.World) (demo.Doors, error) {
	var doors demo.Doors
	token, err := s.tokens.Create(collectors.Grant{
		Name: "demo", Endpoints: []string{collectors.EndpointAudit, collectors.EndpointEvents, collectors.EndpointAgent}, Backfill: true,
		Expires: s.now().AddDate(1, 0, 0),
	})
	if err != nil {
		return doors, err
	}
	bar := newBar(cmd.ErrOrStderr(), "simulating", int64(o.weeks*7))
	doors = demo.Doors{
		BaseURL: s.url(), Token: token, Secret: []byte(demoSecret), Client: &http.Client{Timeout: time.Minute},
		Revision: func(string) string { return agentRevision },
	}
	sent, err := world.Send(ctx, doors, func(day, _ int, _ demo.Sent) { _ = bar.Set(day) })
	if err != nil {
		return doors, fmt.Errorf("simulate: %w", err)
	}
	_ = bar.Finish()
	if err := s.askDemo(ctx, doors, world); err != nil {
		return doors, fmt.Errorf("ask the people: %w", err)
	}
	if err := s.pipe.Flush(ctx); err != nil {
		return doors, fmt.Errorf("wait for the tables: %w", err)
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "%d weeks of %d teams on %d clusters: %d events, %d changes in clusters, %d slices, %d incidents.\n", o.weeks, len(world.Teams), len(world.Clusters), sent.Events, sent.Changes, sent.Slices, sent.Incidents)
	for _, audience := range []reports.Audience{reports.Managers, reports.Consumers} {
		r, err := s.figures.report(ctx, audience, "")
		if err != nil {
			return doors, err
		}
		files, err := writeReport(filepath.Join(o.dir, "reports"), r)
		if err != nil {
			return doors, err
		}
		fmt.Fprintf(out, "Report for %s: %s\n", audience, files[0])
	}
	return doors, nil
}

// demoMark is a file that says that a directory may be emptied.
const demoMark = "DEMO"

// clearDemo empties the directory of an earlier demo, and touches no other one.
func clearDemo(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look into %s: %w", dir, err)
	}
	if _, err := os.Stat(filepath.Join(dir, demoMark)); err != nil {
		return fmt.Errorf("%s is not empty and holds no earlier demo: choose another directory with --dir", dir)
	}
	for _, e := range entries {
		if e.Name() == demoMark {
			continue // last: an interrupted clearing can be repeated
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("remove an earlier demo: %w; is its service still running?", err)
		}
	}
	return nil
}

// writeDemo writes the configuration of the simulated organisation and returns its path.
func writeDemo(o demoOptions, world *demo.World) (string, error) {
	cfg := map[string]any{
		"organisation": map[string]any{"name": "Example Corp (simulated)", "timezone": "UTC", "week_start": "monday"},
		"server":       map[string]any{"listen": o.listen, "base_url": "http://" + o.listen, "tokens": "tokens.json"},
		"warehouse":    map[string]any{"dsn": "embedded:warehouse"},
		"spool":        map[string]any{"dir": "spool", "attributes": []string{"commit", "commit_time", "environment", "kind", "deprecated_api"}},
		"identity":     map[string]any{"key_file": "identity.key", "machines": []string{"^ci-"}},
		"objectives":   map[string]any{"openslo": []string{"slo/*.yaml"}},
		"prices":       []map[string]any{demoPrice()},
		"clusters":     demoClusters(world),
		"roster":       demoRoster(world),
	}
	files := map[string]any{"kubevalue.yaml": cfg, demoMark: "This directory is made and emptied by kubevalue demo.", demoSecretFile: demoSecret}
	demoVoices(cfg)
	for _, c := range world.Clusters {
		files["slo/"+c.Name+".yaml"] = demoObjective(c)
	}
	for _, c := range world.Composites() {
		files["slo/"+c.Name+".yaml"] = demoComposite(world, c)
	}
	for name, content := range files {
		data, err := yaml.Marshal(content)
		if err != nil {
			return "", fmt.Errorf("write the demo's configuration: %w", err)
		}
		path := filepath.Join(o.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", fmt.Errorf("write the demo's configuration: %w", err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return "", fmt.Errorf("write the demo's configuration: %w", err)
		}
	}
	return filepath.Join(o.dir, "kubevalue.yaml"), nil
}

func demoClusters(world *demo.World) []map[string]any {
	var out []map[string]any
	for _, c := range world.Clusters {
		out = append(out, map[string]any{"name": c.Name, "region": c.Region})
	}
	return out
}

func demoRoster(world *demo.World) []map[string]any {
	var out []map[string]any
	for _, t := range world.Teams {
		team := map[string]any{"team": t.Name, "members": t.Members, "from": t.Eligible.Format(time.DateOnly), "voluntary": t.Voluntary}
		if !t.Left.IsZero() {
			team["to"] = t.Left.Format(time.DateOnly)
		}
		out = append(out, team)
	}
	return out
}

// demoPrice says what a minute costs in which nobody reaches production: more while people work. The service of the single clusters has no
// price, as most services have none.
func demoPrice() map[string]any {
	return map[string]any{
		"service": "production", "objective": "production", "per_minute": 25, "currency": "EUR",
		"hours": []map[string]any{{"days": []string{"monday-friday"}, "from": "08:00", "to": "18:00", "per_minute": 90}},
	}
}

// demoObjective is the OpenSLO document of a cluster's API server.
func demoObjective(c demo.Cluster) map[string]any {
	target := 0.999
	if c.Stage == "staging" || c.Stage == "dev" {
		target = 0.99
	}
	doc := demoSLO(c.Name, "API server of "+c.Name, map[string]any{
		"service": "clusters", "description": "People and controllers reach the API server.", "budgetingMethod": "Occurrences",
		"indicator": demoIndicator(c), "objectives": []map[string]any{{"target": target}},
	})
	doc["metadata"].(map[string]any)["labels"] = map[string]any{"region": c.Region, "capability": "control-plane"}
	return doc
}

// demoComposite is the OpenSLO document of a promise about several clusters.
func demoComposite(world *demo.World, c demo.Composite) map[string]any {
	kind, method, description := "weighted", "RatioTimeslices", "Teams reach the API server of their production cluster."
	if c.AnyDown {
		kind, method, description = "any_down", "Timeslices", "The API servers of both production clusters answer nine requests of ten."
	}
	var objectives []map[string]any
	for i, cluster := range c.Clusters {
		o := map[string]any{"target": 0.995, "timeSliceWindow": "5m", "indicator": demoIndicator(world.Clusters[cluster]), "compositeWeight": c.Weights[i]}
		if c.AnyDown {
			o["timeSliceTarget"] = 0.9
		}
		objectives = append(objectives, o)
	}
	doc := demoSLO(c.Name, c.Title, map[string]any{"service": "production", "description": description, "budgetingMethod": method, "objectives": objectives})
	metadata := doc["metadata"].(map[string]any)
	metadata["annotations"] = map[string]any{"kubevalue.io/composite": kind}
	if c.Region != "" {
		metadata["labels"] = map[string]any{"region": c.Region}
	}
	return doc
}

func demoSLO(name, title string, spec map[string]any) map[string]any {
	spec["timeWindow"] = []map[string]any{{"duration": "4w", "isRolling": true}}
	return map[string]any{"apiVersion": "openslo/v1", "kind": "SLO", "metadata": map[string]any{"name": name, "displayName": title}, "spec": spec}
}

// demoIndicator is the probe of a cluster's API server, inline.
func demoIndicator(c demo.Cluster) map[string]any {
	source := map[string]any{"type": "kubevalue", "spec": map[string]any{"indicator": c.Name, "slice": demo.SliceLength.String(), "revision": agentRevision}}
	return map[string]any{"metadata": map[string]any{"name": c.Name}, "spec": map[string]any{"ratioMetric": map[string]any{"counter": false, "rawType": "success", "raw": map[string]any{"metricSource": source}}}}
}
