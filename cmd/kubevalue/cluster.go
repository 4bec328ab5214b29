package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/collectors/kube"
	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

// watched tells whether the cluster's objects are watched.
func (c ClusterConfig) watched() bool { return c.Kubeconfig != "" || c.InCluster }

// kubeClusters are the configured clusters whose objects are watched.
func (c *Config) kubeClusters() []kube.ClusterConfig {
	var out []kube.ClusterConfig
	for _, cl := range c.Clusters {
		if cl.watched() {
			out = append(out, c.kubeCluster(cl))
		}
	}
	return out
}

func (c *Config) kubeCluster(cl ClusterConfig) kube.ClusterConfig {
	kinds := cl.Kinds
	if len(kinds) > 0 && !slices.Contains(kinds, schema.KindNamespace) {
		kinds = append([]string{schema.KindNamespace}, kinds...) // the cluster itself is known by one of them, and owners are by their labels
	}
	return kube.ClusterConfig{
		Name: cl.Name, Region: cl.Region, Kubeconfig: c.path(cl.Kubeconfig), Context: cl.Context,
		InCluster: cl.InCluster, AllowExec: cl.AllowExec, Kinds: kinds,
	}
}

// checkClusters does not look into kubeconfigs: a cluster that cannot be reached keeps nobody from watching the others.
func (c *Config) checkClusters(f *yamlFile) {
	seen := map[string]bool{}
	for i, cl := range c.Clusters {
		path := indexed("clusters", i)
		switch {
		case cl.Name == "":
			f.At(path+".name", "a cluster needs a name: its audit webhook is /audit/NAME")
			continue
		case seen[cl.Name]:
			f.At(path+".name", "%q stands here twice", cl.Name)
		case cl.watched():
			for _, err := range each(c.kubeCluster(cl).Validate()) {
				f.At(path, "%v", err)
			}
		case cl.Context != "" || len(cl.AllowExec)+len(cl.Kinds) > 0:
			f.At(path, "context, allow_exec and kinds are about watching: give the cluster a kubeconfig, or in_cluster: true")
		}
		seen[cl.Name] = true
	}
}

// kubeCollector watches the clusters' objects.
func (s *service) kubeCollector() (*kube.Collector, error) {
	return kube.New(kube.Config{
		Clusters: s.cfg.kubeClusters(), Sink: s.pipe, Known: s.liveResources, Now: s.now, Logger: s.log, Registerer: s.registry,
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
of an hour, else "silent"; "kubevalue cluster check" asks it why. COVERAGE is the share of the hours of the last seven days in which it was watched.
GET /api/v1/clusters of the running service says besides how the watch of each kind of objects stands.`,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withWarehouse(cmd, *path, func(cfg *Config, db *warehouse.DB) error {
			now := time.Now()
			week := now.AddDate(0, 0, -7)
			seen, err := (&figures{db: db}).byCluster(cmd.Context(), fleetSQL, week)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "CLUSTER\tREGION\tWATCHED\tSTATE\tVERSION\tNODES\tNAMESPACES\tWORKLOADS\tCOVERAGE\tSEEN LAST (UTC)")
			for _, c := range cfg.Clusters {
				cluster := dashboards.Cluster{Name: c.Name, Region: c.Region}
				if row, ok := seen[c.Name]; ok {
					watchedCluster(&cluster, row, week, now)
				}
				watched, state := "no", ""
				if c.watched() {
					watched, state = "yes", contactState(cluster.LastContact, now)
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.Name, c.Region, watched, state, cluster.Version,
					known(cluster.Nodes), known(cluster.Namespaces), known(cluster.Workloads), shareText(cluster.Coverage), timeText(cluster.LastContact))
			}
			return w.Flush()
		})
	}
	return cmd
}

// known is a number as text, a dash when it is not known.
func known(n *int) string {
	if n == nil {
		return "-"
	}
	return strconv.Itoa(*n)
}

func shareText(ratio *float64) string {
	if ratio == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", 100**ratio)
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
		Long: `Asks each watched cluster for its version, for the permissions that watching needs (SelfSubjectAccessReview), and for one object of each kind
that it may read. It changes nothing. Exit code 1 when a cluster cannot be reached, a permission is missing or a kind cannot be read.

With --role it prints the least ClusterRole that the enabled kinds (clusters[].kinds, all unless given) need in that cluster, and what it found out
on standard error:

  kubevalue cluster check prod-eu --role | kubectl apply -f -`,
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
		faults, findings := 0, cmd.OutOrStdout()
		if role {
			findings = cmd.ErrOrStderr()
		}
		for i, r := range checkAll(cmd.Context(), checked) {
			faults += printCheck(findings, r)
			if role && i > 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "---")
			}
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
func printCheck(out io.Writer, r kube.Report) (faults int) {
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
	for _, err := range r.Unreadable {
		fmt.Fprintf(out, "%s: cannot be read: %v\n", r.Name, err)
		faults++
	}
	if len(r.Missing) == 0 {
		fmt.Fprintf(out, "%s: no permission is missing\n", r.Name)
		return faults
	}
	var missing []string
	for _, p := range r.Missing {
		missing = append(missing, p.String())
	}
	fmt.Fprintf(out, "%s: missing permissions: %s; --role prints the role that has them\n", r.Name, strings.Join(missing, ", "))
	return faults + 1
}
