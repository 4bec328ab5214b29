package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/collectors/kube"
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

// driftSQL is what disagrees now: of each field of an object, the value that most clusters have, in how many, and the others with theirs.
const driftSQL = `
SELECT kind, namespace, name, path, usual, agreeing, of_all,
    arraySort(arrayMap(h -> concat(h.1, '=', h.2), arrayFilter(h -> h.2 != usual, having))) AS others
FROM (
    SELECT kind, namespace, name, path, groupArray((cluster, value)) AS having, count() AS of_all,
        arraySort(v -> (-countEqual(values, v), v), arrayDistinct(groupArray(value) AS values))[1] AS usual, countEqual(values, usual) AS agreeing
    FROM (
        SELECT toString(cluster) AS cluster, toString(kind) AS kind, toString(namespace) AS namespace, name, substring(field.1, {prefix:UInt32} + 1) AS path, field.2 AS value
        FROM (SELECT cluster, kind, namespace, name, arrayJoin(arrayFilter(f -> startsWith(f.1, {field:String}), arrayZip(mapKeys(attributes), mapValues(attributes)))) AS field
            FROM resources FINAL WHERE deleted IS NULL)
    )
    GROUP BY kind, namespace, name, path
)
WHERE of_all >= 3 AND agreeing < of_all
ORDER BY kind, namespace, name, path`

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
			result, err := db.Query(cmd.Context(), driftSQL, map[string]any{"field": schema.AttributeField, "prefix": uint32(len(schema.AttributeField))})
			if err != nil {
				return fmt.Errorf("fields that disagree: %w", err)
			}
			w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "KIND\tOBJECT\tFIELD\tMOST HAVE\tCLUSTERS\tOTHERS")
			for _, row := range result.Rows {
				others, _ := row[7].([]string)
				for i, other := range others {
					if i > 0 {
						fmt.Fprintf(w, "\t\t\t\t\t%s\n", other)
						continue
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d of %d\t%s\n", text(row[0]), objectPath(&schema.Resource{Namespace: text(row[1]), Name: text(row[2])}),
						text(row[3]), text(row[4]), count(row[5]), count(row[6]), other)
				}
			}
			return w.Flush()
		})
	}
	return cmd
}
