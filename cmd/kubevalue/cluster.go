package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/collectors/kube"
	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

// kubeClusters are the configured clusters whose objects are watched: those with a kubeconfig.
func (c *Config) kubeClusters() []kube.ClusterConfig {
	var out []kube.ClusterConfig
	for _, cl := range c.Clusters {
		if cl.Kubeconfig != "" || cl.InCluster {
			out = append(out, kube.ClusterConfig{
				Name: cl.Name, Region: cl.Region, Kubeconfig: c.path(cl.Kubeconfig), Context: cl.Context, InCluster: cl.InCluster, AllowExec: cl.AllowExec,
			})
		}
	}
	return out
}

// kubeCollector watches the clusters' objects.
func (s *service) kubeCollector() (*kube.Collector, error) {
	return kube.New(kube.Config{
		Clusters: s.cfg.kubeClusters(), Sink: s.pipe, Known: s.db.LiveResources, Now: s.now, Logger: s.log, Registerer: s.registry,
		Owner: s.owners.Owner, KeepLabels: s.owners.Labels(), Fields: s.cfg.fields(),
	})
}

func clusterCommand() *cobra.Command {
	return group("cluster", "List the clusters, and check how they are reached",
		"A cluster with a kubeconfig is watched: what is in it, what is rolled out, and whether workloads are available. Others are known by their audit events and probes.",
		clusterListCommand(), clusterCheckCommand(), clusterDriftCommand())
}

func clusterListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the clusters with what has been seen of them", Args: cobra.NoArgs,
		Long: `Lists the configured clusters as the warehouse knows them. A watched cluster is "reporting" when something was heard of it within the last quarter
of an hour, else "silent"; "kubevalue cluster check" asks it why.`,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withWarehouse(cmd, *path, func(cfg *Config, db *warehouse.DB) error {
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "CLUSTER\tREGION\tWATCHED\tSTATE\tRESOURCES\tSEEN LAST (UTC)")
			for _, c := range cfg.Clusters {
				live, err := db.LiveResources(cmd.Context(), c.Name)
				if err != nil {
					return err
				}
				var last time.Time
				for _, r := range live {
					if r.Time.After(last) {
						last = r.Time
					}
				}
				watched, state := "no", ""
				if c.Kubeconfig != "" || c.InCluster {
					watched, state = "yes", contactState(last, time.Now())
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", c.Name, c.Region, watched, state, strconv.Itoa(len(live)), timeText(last))
			}
			return w.Flush()
		})
	}
	return cmd
}

// contactState says in a word whether a watched cluster that was seen last at some time reports.
func contactState(last, now time.Time) string {
	switch {
	case last.IsZero():
		return "never seen"
	case now.Sub(last) > dashboards.SilentAfter:
		return "silent"
	}
	return "reporting"
}

func clusterCheckCommand() *cobra.Command {
	var role bool
	cmd := &cobra.Command{
		Use:   "check [NAME…]",
		Short: "Say which clusters can be reached, and which permissions are missing",
		Long: `Asks each watched cluster for its version and for the permissions that watching needs (SelfSubjectAccessReview), and changes nothing. With
--role it prints the least ClusterRole that is needed. Exit code 1 when a cluster cannot be reached or a permission is missing.`,
	}
	path := configFlag(cmd)
	cmd.Flags().BoolVar(&role, "role", false, "print the least ClusterRole, as YAML to apply")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		cfg, err := loadConfig(*path)
		if err != nil {
			return err
		}
		wanted := map[string]bool{}
		for _, n := range names {
			wanted[n] = true
		}
		var checked []kube.ClusterConfig
		for _, c := range cfg.kubeClusters() {
			if len(names) == 0 || wanted[c.Name] {
				checked = append(checked, c)
				delete(wanted, c.Name)
			}
		}
		for name := range wanted {
			return fmt.Errorf("there is no watched cluster %q: give it a kubeconfig under clusters", name)
		}
		if len(checked) == 0 {
			return fmt.Errorf("no cluster is watched: give one a kubeconfig under clusters")
		}
		faults := 0
		for _, r := range checkAll(cmd.Context(), checked) {
			faults += printCheck(cmd, r)
			if role {
				fmt.Fprint(cmd.OutOrStdout(), r.ClusterRole)
			}
		}
		if faults > 0 {
			return exitError{1}
		}
		return nil
	}
	return cmd
}

// checkAll checks clusters side by side, so that one that hangs holds up nobody.
func checkAll(ctx context.Context, clusters []kube.ClusterConfig) []kube.Report {
	reports := make([]kube.Report, len(clusters))
	var checks sync.WaitGroup
	for i, c := range clusters {
		checks.Go(func() { reports[i] = kube.Check(ctx, c) })
	}
	checks.Wait()
	return reports
}

// printCheck prints what was found out about a cluster and counts what is wrong with it.
func printCheck(cmd *cobra.Command, r kube.Report) int {
	out := cmd.OutOrStdout()
	if r.Err != nil {
		fmt.Fprintf(out, "%s: %v\n", r.Name, r.Err)
		return 1
	}
	fmt.Fprintf(out, "%s: %s answers as %s in %d ms\n", r.Name, r.Server, r.Version, r.Took.Milliseconds())
	if len(r.NotServed) > 0 {
		fmt.Fprintf(out, "%s: not served there, so not watched: %s\n", r.Name, strings.Join(r.NotServed, ", "))
	}
	if r.Off != "" {
		fmt.Fprintf(out, "%s: %s: durations that begin there and end here are off by as much\n", r.Name, r.Off)
	}
	if len(r.Missing) == 0 {
		fmt.Fprintf(out, "%s: no permission is missing\n", r.Name)
		return 0
	}
	var missing []string
	for _, p := range r.Missing {
		missing = append(missing, p.String())
	}
	fmt.Fprintf(out, "%s: missing permissions: %s; --role prints the role that has them\n", r.Name, strings.Join(missing, ", "))
	return 1
}
