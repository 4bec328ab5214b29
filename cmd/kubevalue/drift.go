package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/collectors/kube"
	"github.com/kubevalue/kubevalue/journey/catalogue"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

// DriftConfig is a field in which objects of the same namespace, kind and name should agree over all clusters.
type DriftConfig struct {
	// Kind is that of the objects, e.g. Deployment.
	Kind string `yaml:"kind"`
	// Field is a JSONPath as kubectl takes it. Its values are stored, so no field with a secret belongs here.
	Field string `yaml:"field"`
}

func (c *Config) checkDrift(f *yamlFile) {
	seen := map[DriftConfig]bool{}
	for i, d := range c.Drift {
		if err := (kube.Field{Kind: d.Kind, Path: d.Field}).Validate(); err != nil {
			f.At(indexed("drift", i), "%v", err)
		}
		if seen[d] {
			f.At(indexed("drift", i), "%s of %s is there twice", d.Field, d.Kind)
		}
		seen[d] = true
	}
}

// fields are those of a configuration that was checked.
func (c *Config) fields() []kube.Field {
	var out []kube.Field
	for _, d := range c.Drift {
		out = append(out, kube.Field{Kind: d.Kind, Path: d.Field})
	}
	return out
}

func clusterDriftCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "drift", Short: "List the configured fields in which clusters disagree", Args: cobra.NoArgs,
		Long: `Lists, of the fields in "drift" of the configuration, those of objects under the same namespace, kind and name in at least three clusters that do
not agree: the value that most clusters have, and the clusters with another one. Where no value is the most frequent one, the first by the alphabet
counts as such. The share of values that disagree is the metric O45.`,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withWarehouse(cmd, *path, func(cfg *Config, db *warehouse.DB) error {
			out := cmd.OutOrStdout()
			if len(cfg.Drift) == 0 {
				fmt.Fprintln(out, "No fields are compared: name some in drift, e.g. [{kind: Deployment, field: .spec.replicas}]")
				return nil
			}
			all, err := catalogue.Evaluator{Query: db.Query, Settings: cfg.settings(), Now: time.Now}.Disagreements(cmd.Context())
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "KIND\tOBJECT\tFIELD\tMOST HAVE\tCLUSTERS\tOTHERS")
			for _, d := range all {
				for i, other := range d.Others {
					if i > 0 {
						fmt.Fprintf(w, "\t\t\t\t\t%s\n", other)
						continue
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d of %d\t%s\n", d.Kind, objectPath(&schema.Resource{Namespace: d.Namespace, Name: d.Name}),
						d.Field, d.Usual, d.Agreeing, d.Objects, other)
				}
			}
			return w.Flush()
		})
	}
	return cmd
}
