package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/collectors/incident"
	"github.com/kubevalue/kubevalue/pipeline"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

// IncidentsConfig says how alerts become incidents: which of their labels, or else annotations, name what. The first that an alert has
// counts.
type IncidentsConfig struct {
	Service   []string `yaml:"service"`
	Objective []string `yaml:"objective"`
	Class     []string `yaml:"class"`
	Title     []string `yaml:"title"`
	Cause     []string `yaml:"cause"`
	Origin    []string `yaml:"origin"`
	// DefaultService is that of alerts that name none; empty: they are refused.
	DefaultService string `yaml:"default_service"`
}

// incidentReceiver takes alerts and incidents over HTTP.
func (s *service) incidentReceiver(memory *collectors.BodyMemory) (*incident.Receiver, error) {
	return incident.New(incident.Config{
		Authenticate: s.tokens.Authenticate, Sink: s.pipe, Known: s.incidents, Mapping: s.cfg.mapping(),
		Limits: s.cfg.limits(incident.DefaultLimits), Memory: memory, Now: s.now, Logger: s.log, Registerer: s.registry,
	})
}

func (c *Config) mapping() incident.Mapping {
	i := c.Incidents
	return incident.Mapping{
		Service: i.Service, Objective: i.Objective, Class: i.Class, Title: i.Title, Cause: i.Cause, Origin: i.Origin, DefaultService: i.DefaultService,
	}
}

func incidentCommand() *cobra.Command {
	return group("incident", "List incidents, and say what alerts cannot know of them",
		"Incidents come from Alertmanager (POST /v1/alertmanager), from other tools (POST /v1/incidents) and from here. Budgets are attributed to them, and their follow-ups are judged by what happened after.",
		incidentListCommand(), incidentShowCommand(), incidentSetCommand(), incidentFollowupCommand())
}

func incidentShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show all that is known of an incident, as JSON",
		Long: `Prints an incident in the form that POST /v1/incidents takes. details hold what its alert said besides: labels, annotations, and fields of the
webhook that kubevalue does not know. Names and addresses of persons, and annotations of several words, are not kept.`,
		Args: one("the ID of an incident"),
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withWarehouse(cmd, *path, func(_ *Config, db *warehouse.DB) error {
			known, err := knownIncidents(cmd.Context(), db)
			if err != nil {
				return err
			}
			in, ok := known[args[0]]
			if !ok {
				return fmt.Errorf(noIncident, args[0])
			}
			out := json.NewEncoder(cmd.OutOrStdout())
			out.SetIndent("", "  ")
			return out.Encode(in)
		})
	}
	return cmd
}

const noIncident = "there is no incident %q: list them with `kubevalue incident list`"

func incidentListCommand() *cobra.Command {
	var from, to string
	cmd := &cobra.Command{Use: "list", Short: "List incidents, those of the last 90 days unless told otherwise", Args: cobra.NoArgs}
	path := configFlag(cmd)
	cmd.Flags().StringVar(&from, "from", "", "first date or time, in the reporting zone (default: 90 days ago)")
	cmd.Flags().StringVar(&to, "to", "", "end, not part of it (default: now)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withWarehouse(cmd, *path, func(cfg *Config, db *warehouse.DB) error {
			since, err := cfg.instant(from)
			until, wrong := cfg.instant(to)
			if err := errors.Join(err, wrong); err != nil {
				return usageError{err: err, text: cmd.UsageString()}
			}
			if until.IsZero() {
				until = time.Now()
			}
			if since.IsZero() {
				since = until.AddDate(0, 0, -90)
			}
			all, err := db.Incidents(cmd.Context(), since, until)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "INCIDENT\tSERVICE\tCLASS\tORIGIN\tSTART (UTC)\tRESOLVED (UTC)\tFOLLOW-UPS\tTITLE")
			for _, in := range all {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", in.ID, in.Service, orDash(in.Class), in.Origin, timeText(in.Start), timeText(in.Resolved), followupText(in.Followups), in.Title)
			}
			return w.Flush()
		})
	}
	return cmd
}

func followupText(all []schema.Followup) string {
	done := 0
	for _, f := range all {
		if !f.Done.IsZero() {
			done++
		}
	}
	if len(all) == 0 {
		return "-"
	}
	return fmt.Sprintf("%d of %d done", done, len(all))
}

// incidentFields are flags of `kubevalue incident set` with the fields of schema.Incident that they set.
var incidentFields = []struct{ flag, field, help string }{
	{"service", "service", "service that was interrupted"}, {"title", "title", "what happened, in a line"},
	{"class", "class", "kind of incident, e.g. etcd-latency: follow-ups work on a class"}, {"cause", "cause", "why it happened"},
	{"origin", "origin", "own, upstream or unknown"}, {"start", "start", "when it began, date or time"},
	{"detected", "detected", "when somebody noticed"}, {"resolved", "resolved", "when it was over"},
}

func incidentSetCommand() *cobra.Command {
	var objectives, links []string
	cmd := &cobra.Command{
		Use:   "set ID",
		Short: "Add an incident, or change what is known of one",
		Long: `Sets the fields that are given and leaves the others as they are; an incident that is not known yet needs --service and --start. What is set
here stays when the incident's alert is sent again.`,
		Example: `  kubevalue incident set INC-7 --service checkout --start 2026-03-01T10:00:00Z --resolved 2026-03-01T10:40:00Z --class etcd-latency
  kubevalue incident set INC-7 --cause "a full disk" --origin own --link https://wiki.example.com/inc-7`,
		Args: one("the ID of an incident"),
	}
	path := configFlag(cmd)
	for _, f := range incidentFields {
		cmd.Flags().String(f.flag, "", f.help)
	}
	cmd.Flags().StringSliceVar(&objectives, "objective", nil, "objectives that it concerns (default: all of the service)")
	cmd.Flags().StringSliceVar(&links, "link", nil, "where to read more; replaces those that are known")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return amendIncident(cmd, *path, args[0], func(cfg *Config, in schema.Incident) (map[string]any, error) {
			if in.Version == 0 && (!cmd.Flags().Changed("service") || !cmd.Flags().Changed("start")) {
				return nil, fmt.Errorf("incident %s is new: say with --service and --start what was interrupted since when", args[0])
			}
			fields := map[string]any{}
			for _, f := range incidentFields {
				value, _ := cmd.Flags().GetString(f.flag)
				if !cmd.Flags().Changed(f.flag) {
					continue
				}
				fields[f.field] = value
				if slices.Contains([]string{"start", "detected", "resolved"}, f.flag) {
					at, err := cfg.instant(value)
					if err != nil {
						return nil, fmt.Errorf("--%s: %w", f.flag, err)
					}
					fields[f.field] = at.UTC()
				}
			}
			if objectives != nil {
				fields["objectives"] = objectives
			}
			if links != nil {
				fields["links"] = links
			}
			return fields, nil
		})
	}
	return cmd
}

func incidentFollowupCommand() *cobra.Command {
	var title, owner, due, done string
	cmd := &cobra.Command{
		Use:   "followup ID FOLLOWUP",
		Short: "Add a follow-up to an incident, or say that it is done",
		Example: `  kubevalue incident followup INC-7 PLAT-12 --title "alert on disk usage" --owner team-db --due 2026-03-15
  kubevalue incident followup INC-7 PLAT-12 --done 2026-03-12`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return nil
			}
			return fmt.Errorf("%s wants the ID of an incident and that of a FOLLOWUP, not %d arguments", cmd.CommandPath(), len(args))
		},
	}
	path := configFlag(cmd)
	cmd.Flags().StringVar(&title, "title", "", "what is to be done")
	cmd.Flags().StringVar(&owner, "owner", "", "the team that does it, never a person")
	cmd.Flags().StringVar(&due, "due", "", "until when, date or time")
	cmd.Flags().StringVar(&done, "done", "", "since when it is done, date or time")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return amendIncident(cmd, *path, args[0], func(cfg *Config, in schema.Incident) (map[string]any, error) {
			if in.Version == 0 {
				return nil, fmt.Errorf(noIncident, args[0])
			}
			all := slices.Clone(in.Followups)
			at := slices.IndexFunc(all, func(f schema.Followup) bool { return f.ID == args[1] })
			if at < 0 {
				if title+owner+due == "" { // the id of a known one may be misspelt
					return nil, fmt.Errorf("incident %s has no follow-up %s: for a new one, say with --title what is to be done", args[0], args[1])
				}
				at, all = len(all), append(all, schema.Followup{ID: args[1]})
			}
			f := &all[at]
			f.Title, f.Owner = orElse(title, f.Title), orElse(owner, f.Owner)
			for _, v := range []struct {
				flag, text string
				into       *time.Time
			}{{"due", due, &f.Due}, {"done", done, &f.Done}} {
				when, err := cfg.instant(v.text)
				if err != nil {
					return nil, fmt.Errorf("--%s: %w", v.flag, err)
				}
				if v.text != "" {
					*v.into = when.UTC()
				}
			}
			return map[string]any{"followups": all}, nil
		})
	}
	return cmd
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// amendIncident stores the fields that change makes of what is known of an incident.
func amendIncident(cmd *cobra.Command, path, id string, change func(*Config, schema.Incident) (map[string]any, error)) error {
	return withWarehouse(cmd, path, func(cfg *Config, db *warehouse.DB) error {
		if _, err := db.Migrate(cmd.Context()); err != nil {
			return err
		}
		known, err := knownIncidents(cmd.Context(), db)
		if err != nil {
			return err
		}
		fields, err := change(cfg, known[id])
		if err != nil {
			return usageError{err: err, text: cmd.UsageString()}
		}
		fields["id"] = id
		raw, err := json.Marshal(fields)
		if err != nil {
			return fmt.Errorf("incident %s: %w", id, err)
		}
		in, err := incident.Amend(raw, known)
		if err != nil {
			return fmt.Errorf("incident %s: %w", id, err)
		}
		in.Version = max(in.Version+1, uint64(time.Now().UnixMilli()))
		_, err = storing(cmd, cfg, db, func(pipe *pipeline.Pipeline) error {
			return pipe.Append(cmd.Context(), schema.Batch{Incidents: []schema.Incident{in}})
		})
		if err == nil {
			fmt.Fprintf(cmd.OutOrStdout(), "incident %s is stored\n", id)
		}
		return err
	})
}

func knownIncidents(ctx context.Context, db *warehouse.DB) (map[string]schema.Incident, error) {
	rows, err := db.Incidents(ctx, time.Unix(0, 0).UTC(), time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		return nil, err
	}
	known := make(map[string]schema.Incident, len(rows))
	for _, in := range rows {
		known[in.ID] = in
	}
	return known, nil
}
