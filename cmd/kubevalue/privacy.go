package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/pipeline"
	"github.com/kubevalue/kubevalue/pipeline/identity"
	"github.com/kubevalue/kubevalue/pipeline/spool"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

func privacyCommand() *cobra.Command {
	return group("privacy", "Say what is stored of a person, erase it, and rotate the keys of pseudonyms",
		`Names of persons never reach the tables: a keyed hash of the name finds a random number, and that number is what events carry. Names are on
the disk of the spool until their events are stored, in quarantined records, and in the configuration. What a person did can be exported and
erased by their name; both work while the service runs and while it is stopped.`,
		privacyExportCommand(), privacyEraseCommand(), privacyLiftCommand(), privacyKeysCommand())
}

// desk answers for one person.
type desk struct {
	cfg      *Config
	db       *warehouse.DB
	resolver *identity.Resolver
	raw      string
	person   identity.Person
}

// openDesk finds who is behind a name. It makes no key: without one there are no pseudonyms to ask for.
func openDesk(ctx context.Context, cfg *Config, db *warehouse.DB, raw string) (*desk, error) {
	if _, err := os.Stat(cfg.path(cfg.Identity.KeyFile)); err != nil {
		return nil, fmt.Errorf("the identity key finds a person's pseudonym, and it cannot be read: %w; restore it from a backup", err)
	}
	if _, err := db.Migrate(ctx); err != nil {
		return nil, err
	}
	resolver, err := cfg.resolver(db, time.Now)
	if err != nil {
		return nil, err
	}
	d := &desk{cfg: cfg, db: db, resolver: resolver, raw: raw}
	d.person, err = resolver.Find(ctx, raw)
	return d, err
}

// found is what one place holds of the person.
type found struct {
	place   string
	records uint64
	// what says what an erasure does to it.
	what string
}

// tableErasure says what an erasure does to the rows of a table.
var tableErasure = map[string]string{
	schema.TableEvents:    "stay under a new number, without object and attributes",
	schema.TableActorKeys: "removed: nothing leads from the name to a number any more",
	schema.TableAliases:   "removed",
}

const (
	placeQuarantine = "quarantine"
	placeDeliveries = "deliveries"
	placeSpool      = "spool"
	placeConfig     = "configuration"
)

// survey looks through every place.
func (d *desk) survey(ctx context.Context) (all []found, unsearched int, err error) {
	rows, err := d.db.ActorRows(ctx, d.person.Actors)
	if err != nil {
		return nil, 0, err
	}
	for _, r := range rows {
		what, known := tableErasure[r.Place]
		if !known {
			what = "stay under a new number"
		}
		all = append(all, found{r.Place, r.Rows, what})
	}
	held, blind, err := d.quarantined(ctx, nil)
	if err != nil {
		return nil, 0, err
	}
	all = append(all, found{placeQuarantine, uint64(len(held)), "removed"})
	recipients, err := d.recipients(ctx)
	if err != nil {
		return nil, 0, err
	}
	all = append(all, found{placeDeliveries, uint64(len(recipients)), "removed"})
	waiting, onDisk, damaged, err := d.spooled(nil)
	if err != nil {
		return nil, 0, err
	}
	all = append(all, found{placeSpool + ", waiting", uint64(waiting), "stored without the person"},
		found{placeSpool + ", stored already", uint64(onDisk), "go from the disk with their segment"},
		found{placeConfig, uint64(len(d.configured())), "yours to remove"})
	return all, blind + damaged, nil
}

func writeFound(out io.Writer, all []found) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "PLACE\tRECORDS\tWHEN ERASED")
	for _, f := range all {
		fmt.Fprintf(w, "%s\t%d\t%s\n", f.place, f.records, f.what)
	}
	return w.Flush()
}

// quarantined finds the records in quarantine that name the person, whatever was decided about them. blind counts those that cannot
// be searched.
func (d *desk) quarantined(ctx context.Context, each func(schema.Quarantined) error) (ids []uuid.UUID, blind int, err error) {
	q := schema.QuarantineQuery{Limit: 1000}
	for {
		page, err := d.db.Quarantined(ctx, q)
		if err != nil || len(page) == 0 {
			return ids, blind, err
		}
		for _, row := range page {
			names, readable := d.names(row)
			if !readable {
				blind++
			}
			if !names {
				continue
			}
			ids = append(ids, row.ID)
			if each != nil {
				if err := each(row); err != nil {
					return nil, 0, err
				}
			}
		}
		last := page[len(page)-1]
		q.Before, q.BeforeID = last.Time, last.ID
	}
}

// names says whether a quarantined record names the person anywhere, and whether it can be read at all: the bytes of a damaged segment
// cannot.
func (d *desk) names(row schema.Quarantined) (names, readable bool) {
	var record any
	if row.Kind == "segment" {
		return false, false
	}
	if json.Unmarshal([]byte(row.Payload), &record) != nil { // cut short, or never JSON
		return d.raw != "" && strings.Contains(strings.ToLower(row.Payload), strings.ToLower(d.raw)), true
	}
	return d.within(record), true
}

// within says whether a value of JSON has a text that is a name of the person.
func (d *desk) within(v any) bool {
	switch v := v.(type) {
	case string:
		return d.person.Is(v)
	case []any:
		for _, element := range v {
			if d.within(element) {
				return true
			}
		}
	case map[string]any:
		for _, member := range v {
			if d.within(member) {
				return true
			}
		}
	}
	return false
}

// recipients are the addresses of the person to which reports went.
func (d *desk) recipients(ctx context.Context) ([]string, error) {
	all, err := d.db.Recipients(ctx)
	var theirs []string
	for _, r := range all {
		if d.isAddress(r) {
			theirs = append(theirs, r)
		}
	}
	return theirs, err
}

func (d *desk) isAddress(recipient string) bool {
	if a, err := mail.ParseAddress(recipient); err == nil && d.person.Is(a.Address) {
		return true
	}
	return d.person.Is(recipient)
}

// spools are the directories in which names may be on the disk.
func (d *desk) spools() []string {
	dir := d.cfg.path(d.cfg.Spool.Dir)
	return []string{dir, dir + "-import"}
}

// spooled counts the records on the disk of the spools that name the person: those that wait for the warehouse, and those that it has.
// damaged counts what cannot be read.
func (d *desk) spooled(each func(record any) error) (waiting, stored, damaged int, err error) {
	for _, dir := range d.spools() {
		n, err := pipeline.Spooled(dir, func(b schema.Batch, done bool) error {
			for _, record := range d.ofBatch(b) {
				if done {
					stored++
				} else {
					waiting++
				}
				if each != nil {
					if err := each(record); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return 0, 0, 0, err
		}
		files, err := spool.Damaged(dir)
		if err != nil {
			return 0, 0, 0, err
		}
		damaged += n + len(files)
	}
	return waiting, stored, damaged, nil
}

// ofBatch are the records of a batch that name the person.
func (d *desk) ofBatch(b schema.Batch) []any {
	var all []any
	for i := range b.Events {
		if d.person.Is(b.Events[i].Actor) {
			all = append(all, b.Events[i])
		}
	}
	for _, a := range b.Aliases {
		if d.person.Is(a.From) || d.person.Is(a.To) {
			all = append(all, a)
		}
	}
	return all
}

// configured are the settings that name the person.
func (d *desk) configured() []string {
	var paths []string
	add := func(named bool, path string) {
		if named {
			paths = append(paths, path)
		}
	}
	for i, t := range d.cfg.Roster {
		for j, member := range t.Members {
			add(d.person.Is(member), fmt.Sprintf("roster[%d].members[%d]", i, j))
		}
	}
	for from, to := range d.cfg.Identity.Same {
		add(d.person.Is(from) || d.person.Is(to), "identity.same."+from)
	}
	for i, s := range d.cfg.Reports.Schedules {
		for j, to := range s.To {
			add(d.isAddress(to), fmt.Sprintf("reports.schedules[%d].to[%d]", i, j))
		}
	}
	return paths
}

func actorFlag(cmd *cobra.Command) *string {
	actor := cmd.Flags().String("actor", "", "the person's name, as a cluster or a client says it (required)")
	if err := cmd.MarkFlagRequired("actor"); err != nil {
		panic(err)
	}
	return actor
}

func privacyExportCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "export --actor NAME",
		Short: "Write everything that is stored of a person, as NDJSON",
		Long: `Writes one JSON object a line: {"place": …, "record": …}. Places are the tables (events and what is derived from them, roster, links and merged
names), the quarantine, deliveries of reports, the disk of the spool, and settings of the configuration. Names that were merged with the given one
are the same person. How many records each place has goes to standard error.`,
		Example: `  kubevalue privacy export --actor ann@example.com --out ann.ndjson`,
		Args:    cobra.NoArgs,
	}
	path, actor := configFlag(cmd), actorFlag(cmd)
	cmd.Flags().StringVarP(&out, "out", "o", "", "file to write, readable by you only (default: standard output)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withWarehouse(cmd, *path, func(cfg *Config, db *warehouse.DB) error {
			d, err := openDesk(cmd.Context(), cfg, db, *actor)
			if err != nil {
				return err
			}
			if out == "" {
				return d.export(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return fmt.Errorf("export: %w", err)
			}
			return errors.Join(d.export(cmd.Context(), f, cmd.ErrOrStderr()), f.Close())
		})
	}
	return cmd
}

// exported is a line of an export.
type exported struct {
	Place  string `json:"place"`
	Record any    `json:"record"`
}

func (d *desk) export(ctx context.Context, out, summary io.Writer) error {
	lines := json.NewEncoder(out)
	err := d.db.ExportActor(ctx, d.person.Actors, func(table string, row []byte) error {
		return lines.Encode(exported{table, json.RawMessage(row)})
	})
	if err != nil {
		return err
	}
	if _, _, err = d.quarantined(ctx, func(q schema.Quarantined) error { return lines.Encode(exported{placeQuarantine, q}) }); err != nil {
		return err
	}
	recipients, err := d.recipients(ctx)
	if err != nil {
		return err
	}
	for _, r := range recipients {
		err = errors.Join(err, lines.Encode(exported{placeDeliveries, map[string]string{"recipient": r}}))
	}
	for _, setting := range d.configured() {
		err = errors.Join(err, lines.Encode(exported{placeConfig, map[string]string{"setting": setting}}))
	}
	if err != nil {
		return err
	}
	if _, _, _, err = d.spooled(func(record any) error { return lines.Encode(exported{placeSpool, record}) }); err != nil {
		return err
	}
	all, unsearched, err := d.survey(ctx)
	if err != nil {
		return err
	}
	for _, f := range all {
		if f.records > 0 {
			fmt.Fprintf(summary, "%s: %d\n", f.place, f.records)
		}
	}
	d.sayUnsearched(summary, unsearched)
	if d.person.Suppressed {
		fmt.Fprintln(summary, "this name was erased")
	}
	return nil
}

// sayUnsearched tells of bytes in which nobody can look for a name.
func (d *desk) sayUnsearched(out io.Writer, n int) {
	if n > 0 {
		fmt.Fprintf(out, "%d damaged pieces of the spool cannot be searched: `kubevalue quarantine drop --kind segment` and removing %s drops them\n",
			n, d.cfg.path(d.cfg.Spool.Dir)+"/damaged")
	}
}
