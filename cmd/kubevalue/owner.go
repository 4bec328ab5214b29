package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/pipeline/identity"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

// creatorsSQL is who opened the newest namespace of a name: the team that the event names, or else that of the roster at the time.
const creatorsSQL = `
WITH canonical AS (SELECT actor AS part, canonical FROM actor_aliases FINAL),
members AS (
    SELECT if(c.canonical = 0, r.actor, c.canonical) AS member, groupArray((toString(r.team), r.valid_from, r.valid_to)) AS memberships
    FROM (SELECT * FROM roster_current WHERE actor != 0) AS r LEFT JOIN canonical AS c ON r.actor = c.part GROUP BY member
)
SELECT e.cluster, e.namespace, if(e.named != '', [e.named], arrayMap(m -> m.1, arrayFilter(m -> m.2 <= e.opened AND e.opened < m.3, r.memberships))) AS teams
FROM (
    SELECT cluster, namespace, opened, named, if(c.canonical = 0, person, c.canonical) AS person
    FROM (
        SELECT toString(cluster) AS cluster, toString(namespace) AS namespace, max(time) AS opened,
            argMax(toString(actor_team), time) AS named, argMax(actor, time) AS person
        FROM events WHERE name = 'namespaces.create' AND outcome = 'success' AND namespace != '' AND actor_kind = 'human'
        GROUP BY cluster, namespace
    ) AS o LEFT JOIN canonical AS c ON o.person = c.part
) AS e LEFT JOIN members AS r ON e.person = r.member
WHERE notEmpty(teams)`

// creatorsEvery is how often it is asked who opened namespaces.
const creatorsEvery = 30 * time.Second

// learnCreators tells owners who opened which namespace. A person in several teams says nothing.
func learnCreators(ctx context.Context, db *warehouse.DB, owners *identity.Owners) error {
	result, err := db.Query(ctx, creatorsSQL, nil)
	if err != nil {
		return fmt.Errorf("who opened namespaces: %w", err)
	}
	teams := map[identity.Space]string{}
	for _, row := range result.Rows {
		if of, _ := row[2].([]string); len(of) == 1 {
			teams[identity.Space{Cluster: text(row[0]), Namespace: text(row[1])}] = of[0]
		}
	}
	owners.SetCreators(teams)
	return nil
}

// learnCreators keeps up until the context ends; while the warehouse is away, what was known stays.
func (s *service) learnCreators(ctx context.Context) error {
	ticker := time.NewTicker(creatorsEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := learnCreators(ctx, s.db, s.owners); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "owners by creator may be out of date", "error", err)
		}
	}
}

func ownerCommand() *cobra.Command {
	return group("owner", "Say whose the things in clusters are, and why",
		`The owner of an object is the team that the first of these rules names: a mapping of the configuration (owners.mappings), the Backstage
component that its label backstage.io/kubernetes-id names or a team label of its own or of its controller, the same of its namespace, its
Argo CD project or Flux parent, the team of the person who opened its namespace. An owner holds from when it was seen; what was
recorded before stays as it was.`,
		ownerExplainCommand())
}

func ownerExplainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain OBJECT",
		Short: "Say what each rule knows of an object's owner, and who owned it when",
		Long: `Prints for an OBJECT, which is CLUSTER/NAMESPACE/KIND/NAME or CLUSTER/KIND/NAME, what each rule says now, the first answer of which counts,
and since when it has been recorded as whose.`,
		Example: "  kubevalue owner explain prod-eu/payments/Deployment/web\n  kubevalue owner explain prod-eu/Namespace/payments",
		Args:    one("an OBJECT"),
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if n := strings.Count(args[0], "/"); n != 2 && n != 3 {
			return usageError{err: errObjectPath, text: cmd.UsageString()}
		}
		return withWarehouse(cmd, *path, func(cfg *Config, db *warehouse.DB) error {
			owners := identity.NewOwners(cfg.ownerRules())
			if err := learnCreators(cmd.Context(), db, owners); err != nil {
				return err
			}
			q, err := ownerQuestion(cmd.Context(), db, args[0])
			if err != nil {
				return err
			}
			return explainOwner(cmd.Context(), cmd.OutOrStdout(), db, explained{owners, q})
		})
	}
	return cmd
}

// ownerQuestion collects what is known of an object.
func ownerQuestion(ctx context.Context, db *warehouse.DB, object string) (schema.OwnerQuestion, error) {
	cluster, _, _ := strings.Cut(object, "/")
	live, err := db.LiveResources(ctx, cluster)
	if err != nil {
		return schema.OwnerQuestion{}, err
	}
	q := schema.OwnerQuestion{At: time.Now().UTC()}
	var near []string
	spaces := map[string]*schema.Resource{}
	for i := range live {
		r := &live[i].Resource
		switch at := objectPath(r); {
		case at == object:
			q.Resource = r
		case r.Name == object[strings.LastIndex(object, "/")+1:]:
			near = append(near, at)
		}
		if r.Kind == schema.KindNamespace {
			spaces[r.Name] = r
		}
	}
	if q.Resource == nil {
		hint := "; `kubevalue cluster list` shows which clusters were seen"
		if len(near) > 0 {
			slices.Sort(near)
			hint = "; did you mean " + strings.Join(near[:min(3, len(near))], " or ") + "?"
		}
		return q, fmt.Errorf("there is no %s, as far as is known%s", object, hint)
	}
	if kind, name, ok := strings.Cut(q.Resource.Attributes["owner"], "/"); ok {
		for i := range live {
			if r := &live[i].Resource; r.Kind == kind && r.Name == name && r.Namespace == q.Resource.Namespace {
				q.Parent = r
			}
		}
	}
	q.Space = func(name string) *schema.Resource { return spaces[name] }
	return q, nil
}

// explained is an object with those who know its owner.
type explained struct {
	owners   *identity.Owners
	question schema.OwnerQuestion
}

func explainOwner(ctx context.Context, out io.Writer, db *warehouse.DB, e explained) error {
	r := e.question.Resource
	recorded := *r
	r.Team, r.TeamSource = "", "" // what was recorded is no reason
	if recorded.TeamSource == string(schema.OwnerUnknown) {
		r.Team = recorded.Team
	}
	team, by := e.owners.Owner(e.question)
	fmt.Fprintf(out, "%s: %s\n\n", objectPath(r), ownerText(team, string(by)))
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "RULE\tTEAM\tWHY")
	for i, a := range e.owners.Explain(e.question) {
		fmt.Fprintf(w, "%s\t%s\t%s\n", schema.OwnerSources()[i], orDash(a.Team), a.Why)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	result, err := db.Query(ctx, `
		SELECT toString(team), toString(team_source), seen FROM resource_changes FINAL
		WHERE cluster = {cluster:String} AND kind = {kind:String} AND uid = {uid:String} ORDER BY seen, state_version`,
		map[string]any{"cluster": r.Cluster, "kind": r.Kind, "uid": r.UID})
	if err != nil {
		return fmt.Errorf("the owners of %s so far: %w", objectPath(r), err)
	}
	fmt.Fprintln(w, "\nSINCE (UTC)\tUNTIL (UTC)\tOWNER")
	type span struct {
		owner string
		since time.Time
	}
	var spans []span
	for _, row := range result.Rows {
		owner := ownerText(text(row[0]), text(row[1]))
		if n := len(spans); n == 0 || spans[n-1].owner != owner {
			spans = append(spans, span{owner, instantOf(row[2])})
		}
	}
	for i, s := range spans {
		until := "now"
		if i+1 < len(spans) {
			until = timeText(spans[i+1].since)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", timeText(s.since), until, s.owner)
	}
	return w.Flush()
}

func ownerText(team, by string) string {
	if team == "" {
		return "nobody knows"
	}
	return team + " (by " + cmp.Or(by, "whoever reported it") + ")"
}
