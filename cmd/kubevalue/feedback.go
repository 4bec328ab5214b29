package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/collectors/feedback"
	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/pipeline"
	"github.com/kubevalue/kubevalue/reports"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

func feedbackCommand() *cobra.Command {
	return group("feedback", "Ask people, and note what they ask for and what work takes",
		`Surveys (feedback.surveys in the configuration) are answered through one-time links and never by name. Tickets come by GitHub's webhook,
POST /v1/github. Requests for figures are noted here, until a visit of what answers them shows that they were worth it, and so are hours of work.`,
		feedbackInviteCommand(), feedbackShowCommand(), feedbackRequestCommand(), feedbackWorkCommand())
}

// putFeedback stores records.
func putFeedback(cmd *cobra.Command, cfg *Config, db *warehouse.DB, rows []schema.Feedback) error {
	_, err := storing(cmd, cfg, db, func(pipe *pipeline.Pipeline) error {
		return pipe.Append(cmd.Context(), schema.Batch{Feedback: rows})
	})
	return err
}

// withFeedback runs a command on tables that are up to date.
func withFeedback(cmd *cobra.Command, path string, run func(cfg *Config, db *warehouse.DB) error) error {
	return withWarehouse(cmd, path, func(cfg *Config, db *warehouse.DB) error {
		if _, err := db.Migrate(cmd.Context()); err != nil {
			return err
		}
		return run(cfg, db)
	})
}

// maxInvitations bounds the links of one call.
const maxInvitations = 10_000

func feedbackInviteCommand() *cobra.Command {
	var team, persona, until string
	var count int
	cmd := &cobra.Command{
		Use:   "invite SURVEY",
		Short: "Make one-time links to a survey",
		Long: `Prints as many links as there are people to ask, each on a line, good for one answer. Only the hash of a link is stored, with the team
and the persona that are given here, so send each to one person and keep no list of who got which.`,
		Example: "  kubevalue feedback invite platform-q4 --team payments --count 12 --until 2026-12-31",
		Args:    one("the id of a SURVEY"),
	}
	path := configFlag(cmd)
	cmd.Flags().StringVar(&team, "team", "", "team of those who are asked")
	cmd.Flags().StringVar(&persona, "persona", "", "their role on the journey map")
	cmd.Flags().IntVar(&count, "count", 1, "how many links")
	cmd.Flags().StringVar(&until, "until", "", "when the links end, a date or a time (default: in 30 days)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if count < 1 || count > maxInvitations {
			return usageError{err: fmt.Errorf("--count %d: from 1 to %d links can be made at once", count, maxInvitations), text: cmd.UsageString()}
		}
		return withFeedback(cmd, *path, func(cfg *Config, db *warehouse.DB) error {
			now := time.Now().UTC().Truncate(time.Millisecond)
			surveys := cfg.surveys()
			if !slices.ContainsFunc(surveys, func(s feedback.Survey) bool { return s.ID == args[0] }) {
				return fmt.Errorf("there is no survey %q under feedback.surveys", args[0])
			}
			end, err := cfg.instant(until)
			if err != nil {
				return usageError{err: err, text: cmd.UsageString()}
			}
			if end.IsZero() {
				end = now.AddDate(0, 0, 30)
			}
			if !end.After(now) {
				return usageError{err: fmt.Errorf("--until %s is over", until), text: cmd.UsageString()}
			}
			if err := keepQuestions(cmd.Context(), db, surveys, now); err != nil {
				return err
			}
			rows, links := cfg.invite(schema.Feedback{Time: now, Until: end.UTC(), Team: team, Persona: persona, Survey: args[0]}, count)
			if err := putFeedback(cmd, cfg, db, rows); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), strings.Join(links, "\n"))
			return nil
		})
	}
	return cmd
}

// invite makes invitations with team, persona, survey and times of one, and the links that they stand for.
func (c *Config) invite(like schema.Feedback, count int) (rows []schema.Feedback, links []string) {
	like.Kind, like.Version = schema.FeedbackInvitation, 1
	for range count {
		secret, id := feedback.NewSecret()
		like.ID = id
		rows, links = append(rows, like), append(links, strings.TrimSuffix(c.address(), "/")+feedback.FormPath+secret)
	}
	return rows, links
}

// address is how people reach the service.
func (c *Config) address() string {
	if c.Server.BaseURL != "" {
		return c.Server.BaseURL
	}
	if c.Server.TLSCert != "" {
		return "https://" + c.Server.Listen
	}
	return "http://" + c.Server.Listen
}

func feedbackShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show SURVEY",
		Short: "Show what was answered, with the response rate",
		Long: `Prints for each question how many answered it and what: the net promoter score (promoters less detractors, -1 to 1), the share of the satisfied
(4 and 5 of 5), the options chosen, or the texts in an order that says nothing of who wrote them. With fewer answers than organisation.small_group
nothing is shown. Intervals are with the metrics O33 and O42.`,
		Args: one("the id of a SURVEY"),
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withFeedback(cmd, *path, func(cfg *Config, db *warehouse.DB) error {
			results, err := readResults(cmd, db, args[0])
			if err != nil {
				return err
			}
			return results.print(cmd, cfg.Organisation.SmallGroup)
		})
	}
	return cmd
}

// results are the answers to a survey by question.
type results struct {
	survey            string
	invited, answered int
	questions         []schema.Feedback
	answers           map[string][]schema.Feedback
}

func readResults(cmd *cobra.Command, db *warehouse.DB, survey string) (results, error) {
	r := results{survey: survey, answers: map[string][]schema.Feedback{}}
	for _, kind := range []schema.FeedbackKind{schema.FeedbackQuestion, schema.FeedbackInvitation, schema.FeedbackAnswer} {
		rows, err := db.Feedback(cmd.Context(), kind, "")
		if err != nil {
			return r, err
		}
		for _, row := range rows {
			switch {
			case row.Survey != survey:
			case kind == schema.FeedbackQuestion:
				r.questions = append(r.questions, row)
			case kind == schema.FeedbackInvitation:
				r.invited++
				if row.State != "" {
					r.answered++
				}
			default:
				r.answers[row.Question] = append(r.answers[row.Question], row)
			}
		}
	}
	if len(r.questions) == 0 {
		return r, fmt.Errorf("nobody was asked the survey %q yet", survey)
	}
	return r, nil
}

func (r results) print(cmd *cobra.Command, smallGroup int) error {
	out := cmd.OutOrStdout()
	rate := "-"
	if r.invited > 0 {
		rate = reports.Ratio(float64(r.answered) / float64(r.invited))
	}
	fmt.Fprintf(out, "%s: %d of %d invitations answered (%s)\n\n", r.survey, r.answered, r.invited, rate)
	if r.answered < smallGroup {
		fmt.Fprintf(out, "withheld: fewer than %d answers\n", smallGroup)
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "QUESTION\tKIND\tN\tRESULT")
	for _, q := range r.questions {
		answers := r.answers[q.Question]
		result := "withheld: small group"
		if len(answers) >= smallGroup || len(answers) == 0 {
			result = resultOf(q.Asked, answers)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", q.Question, q.Asked, len(answers), result)
	}
	return w.Flush()
}

// resultOf says in a line what was answered to a question.
func resultOf(kind string, answers []schema.Feedback) string {
	if len(answers) == 0 {
		return "-"
	}
	up, down, chosen := 0, 0, map[string]int{}
	for _, a := range answers {
		chosen[a.Text]++
		switch {
		case a.Value == nil:
		case kind == feedback.QuestionNPS && *a.Value >= 9, kind == feedback.QuestionCSAT && *a.Value >= 4:
			up++
		case kind == feedback.QuestionNPS && *a.Value <= 6:
			down++
		}
	}
	switch kind {
	case feedback.QuestionNPS:
		return fmt.Sprintf("score %.2f: %d promoters, %d detractors", float64(up-down)/float64(len(answers)), up, down)
	case feedback.QuestionCSAT:
		return reports.Ratio(float64(up)/float64(len(answers))) + " satisfied"
	}
	var parts []string
	for _, text := range slices.SortedFunc(maps.Keys(chosen), func(a, b string) int {
		if chosen[a] != chosen[b] {
			return chosen[b] - chosen[a]
		}
		return strings.Compare(a, b)
	}) {
		parts = append(parts, fmt.Sprintf("%d× %q", chosen[text], text))
	}
	return strings.Join(parts, ", ")
}

func feedbackRequestCommand() *cobra.Command {
	var title, team, object, asked, built string
	var list bool
	cmd := &cobra.Command{
		Use:   "request [ID]",
		Short: "Note a request for figures, or say that it was answered; --list lists them",
		Long: `A request for figures is open from when it was asked until it is answered by an object: the path of a page, or a dashboard's name, as events
page.visit and dashboard.visit name it. It is validated when somebody visits that within 30 days. The flags that are given change what is known of a request.`,
		Example: `  kubevalue feedback request DR-7 --title "cost by team" --team finance --asked 2026-11-02
  kubevalue feedback request DR-7 --built 2026-11-16 --object /metric/O23`,
		Args: cobra.MaximumNArgs(1),
	}
	path := configFlag(cmd)
	cmd.Flags().StringVar(&title, "title", "", "what is asked for, in a line")
	cmd.Flags().StringVar(&team, "team", "", "team that asks")
	cmd.Flags().StringVar(&asked, "asked", "", "when, a date or a time (default: now)")
	cmd.Flags().StringVar(&built, "built", "", "since when it is answered, a date or a time")
	cmd.Flags().StringVar(&object, "object", "", "what answers it")
	cmd.Flags().BoolVar(&list, "list", false, "list all requests")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if list == (len(args) == 1) {
			return usageError{err: fmt.Errorf("give either the ID of a request or --list"), text: cmd.UsageString()}
		}
		return withFeedback(cmd, *path, func(cfg *Config, db *warehouse.DB) error {
			rows, err := db.Feedback(cmd.Context(), schema.FeedbackRequest, "")
			if err != nil {
				return err
			}
			if list {
				return printRequests(cmd, rows)
			}
			r := schema.Feedback{Kind: schema.FeedbackRequest, ID: args[0], Time: time.Now().UTC().Truncate(time.Millisecond)}
			if i := slices.IndexFunc(rows, func(f schema.Feedback) bool { return f.ID == args[0] }); i >= 0 {
				r = rows[i]
			} else if title == "" {
				return usageError{err: fmt.Errorf("request %s is new: say with --title what is asked for", args[0]), text: cmd.UsageString()}
			}
			for _, field := range []struct {
				at   *time.Time
				text string
			}{{&r.Time, asked}, {&r.Until, built}} {
				at, err := cfg.instant(field.text)
				if err != nil {
					return usageError{err: err, text: cmd.UsageString()}
				}
				if !at.IsZero() {
					*field.at = at.UTC()
				}
			}
			r.Text, r.Team, r.Object = orElse(title, r.Text), orElse(team, r.Team), orElse(object, r.Object)
			if !r.Until.IsZero() && r.Object == "" {
				return usageError{err: fmt.Errorf("say with --object what answers the request, so that visits of it count"), text: cmd.UsageString()}
			}
			r.Version = max(r.Version+1, uint64(time.Now().UnixMilli()))
			if err := putFeedback(cmd, cfg, db, []schema.Feedback{r}); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "request %s is stored\n", r.ID)
			return nil
		})
	}
	return cmd
}

func printRequests(cmd *cobra.Command, rows []schema.Feedback) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "REQUEST\tTEAM\tASKED (UTC)\tBUILT (UTC)\tOBJECT\tTITLE")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, orDash(r.Team), timeText(r.Time), timeText(r.Until), orDash(r.Object), r.Text)
	}
	return w.Flush()
}

// workedWeek is the week that work of a team is noted for.
func workedWeek(cfg *Config, team, week string) (journey.Period, error) {
	if team == "" || week == "" {
		return journey.Period{}, errors.New("--team and --week are needed")
	}
	p, err := cfg.calendar().Parse(week, "")
	switch {
	case err != nil:
		return p, fmt.Errorf("--week: %w", err)
	case p.Grain != journey.GrainWeek:
		return p, fmt.Errorf("--week %s is a %s: want a week such as 2026-W46", week, p.Grain)
	}
	return p, nil
}

// hoursText writes hours without an exponent.
func hoursText(hours float64) string { return strconv.FormatFloat(hours, 'f', -1, 64) }

func feedbackWorkCommand() *cobra.Command {
	var team, week string
	var hours struct{ run, build float64 }
	cmd := &cobra.Command{
		Use:   "work",
		Short: "Note a team's hours of running and of building in a week",
		Long: `Run is work that keeps what is there going, build is work on something new. The hours of a week replace those that were noted for it before, of
running or building where only one is given. They are a team's, never a person's.`,
		Example: "  kubevalue feedback work --team platform --week 2026-W46 --run 120 --build 200",
		Args:    cobra.NoArgs,
	}
	path := configFlag(cmd)
	cmd.Flags().StringVar(&team, "team", "", "the team (required)")
	cmd.Flags().StringVar(&week, "week", "", "the week, e.g. 2026-W46 (required)")
	cmd.Flags().Float64Var(&hours.run, "run", 0, "hours of running")
	cmd.Flags().Float64Var(&hours.build, "build", 0, "hours of building")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withFeedback(cmd, *path, func(cfg *Config, db *warehouse.DB) error {
			p, err := workedWeek(cfg, team, week)
			if err == nil && !cmd.Flags().Changed("run") && !cmd.Flags().Changed("build") {
				err = errors.New("say with --run and --build how many hours: they replace those that were noted")
			}
			if err != nil {
				return usageError{err: err, text: cmd.UsageString()}
			}
			var rows []schema.Feedback
			var said []string
			for _, work := range []struct {
				flag, topic, of string
				hours           float64
			}{{"run", schema.WorkRun, "running", hours.run}, {"build", schema.WorkBuild, "building", hours.build}} {
				if !cmd.Flags().Changed(work.flag) {
					continue
				}
				said = append(said, hoursText(work.hours)+" hours of "+work.of)
				rows = append(rows, schema.Feedback{
					Kind: schema.FeedbackWork, ID: team + "/" + p.Label + "/" + work.topic, Time: p.From.UTC(), Team: team, Topic: work.topic, Value: &work.hours,
					Version: uint64(time.Now().UnixMilli()),
				})
			}
			if err := putFeedback(cmd, cfg, db, rows); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s in %s\n", team, strings.Join(said, " and "), p.Label)
			return nil
		})
	}
	return cmd
}
