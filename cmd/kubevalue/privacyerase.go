package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/pipeline"
	"github.com/kubevalue/kubevalue/pipeline/spool"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

func privacyEraseCommand() *cobra.Command {
	var confirm bool
	cmd := &cobra.Command{
		Use:   "erase --actor NAME",
		Short: "Take a person out of everything that is stored; says what it would do until --confirm is given",
		Long: `Without --confirm it says what each place holds, and changes nothing. With it:

  - the name, and all names merged with it, go on a list by their keyed hashes: whatever comes of them from then on, and what is still in the
    spool, is stored without an actor. A late copy of an event does not bring the person back;
  - events, and what is derived from them, stay for the counts, under one new random number that nothing links to the person, and lose their
    object and attributes; so do the person's times in the roster. Figures that were published do not change;
  - the links from names to numbers, merged names, deliveries of reports and quarantined records of the person are removed;
  - with the service stopped, what waits in the spool is stored without the person, and goes from the disk at once. A running service does the
    same by itself; its newest segment stays on the disk until it has been drained for some minutes.

The configuration is yours to edit: settings that name the person are listed. It cannot be undone. It can be repeated, also after a crash in the
middle, and goes on where it stopped. Backups are not touched.`,
		Example: `  kubevalue privacy erase --actor ann@example.com
  kubevalue privacy erase --actor ann@example.com --confirm`,
		Args: cobra.NoArgs,
	}
	path, actor := configFlag(cmd), actorFlag(cmd)
	cmd.Flags().BoolVar(&confirm, "confirm", false, "do it; it cannot be undone")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withWarehouse(cmd, *path, func(cfg *Config, db *warehouse.DB) error {
			d, err := openDesk(cmd.Context(), cfg, db, *actor)
			if err != nil {
				return err
			}
			return d.erase(cmd, confirm)
		})
	}
	return cmd
}

func (d *desk) erase(cmd *cobra.Command, confirm bool) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	all, unsearched, err := d.survey(ctx)
	if err != nil {
		return err
	}
	if err := writeFound(out, all); err != nil {
		return err
	}
	d.sayUnsearched(out, unsearched)
	for _, setting := range d.configured() {
		fmt.Fprintf(out, "the configuration names the person: remove %s (in a roster, a placeholder keeps the size of the team)\n", setting)
	}
	if !confirm {
		fmt.Fprintln(out, "nothing was changed: add --confirm to erase, which cannot be undone")
		return nil
	}
	if err := d.exclusively(ctx, d.eraseTables); err != nil {
		return fmt.Errorf("erase: %w; run it again, or restart the service: it goes on where it stopped", err)
	}
	fmt.Fprintln(out, "erased from the tables, the quarantine and the deliveries; later events of this name are stored without an actor")
	for _, dir := range d.spools() {
		if err := d.eraseSpool(cmd, dir); err != nil {
			return err
		}
	}
	return d.verify(ctx, out)
}

// exclusively does f while nobody stores anything.
func (d *desk) exclusively(ctx context.Context, f func(context.Context) error) error {
	p := leased(d.db)
	p.Processor = pipeline.ProcessorConfig{Store: d.db, Now: time.Now}
	return pipeline.Exclusively(ctx, p, f)
}

// eraseTables does the work while nobody stores anything.
func (d *desk) eraseTables(ctx context.Context) error {
	var err error
	// A merge may have come in since.
	if d.person, err = d.resolver.Find(ctx, d.raw); err != nil {
		return err
	}
	if err := d.db.InsertSuppressed(ctx, d.person.Links); err != nil {
		return err
	}
	begun, err := d.db.Erasures(ctx)
	if err != nil {
		return err
	}
	replacements, err := d.person.Replacements()
	if err != nil {
		return err
	}
	known := map[uint64]bool{}
	for _, e := range begun {
		known[e.Actor] = true
	}
	var fresh []schema.Erasure
	for _, e := range replacements {
		if !known[e.Actor] {
			fresh = append(fresh, e)
		}
	}
	if err := d.db.InsertErasures(ctx, fresh); err != nil {
		return err
	}
	return d.remove(ctx, append(begun, fresh...))
}

// remove takes the person out of all places, last out of the tables, which forgets that the erasures were begun.
func (d *desk) remove(ctx context.Context, erasures []schema.Erasure) error {
	ids, _, err := d.quarantined(ctx, nil)
	if err != nil {
		return err
	}
	if err := d.db.RemoveQuarantined(ctx, ids); err != nil {
		return err
	}
	recipients, err := d.recipients(ctx)
	if err != nil {
		return err
	}
	for _, r := range recipients {
		if err := d.db.RemoveRecipient(ctx, r); err != nil {
			return err
		}
	}
	return d.db.EraseActors(ctx, erasures)
}

// eraseSpool stores what waits in a spool that nobody runs on, which removes it from the disk.
func (d *desk) eraseSpool(cmd *cobra.Command, dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	pipe, err := newPipeline(d.cfg, d.db, d.resolver, pipelineParts{dir: dir, log: quiet(cmd.ErrOrStderr()), now: time.Now})
	if errors.Is(err, spool.ErrInUse) {
		fmt.Fprintf(cmd.OutOrStdout(), "%s belongs to a running service, which stores what waits there without the person\n", dir)
		return nil
	}
	if err != nil {
		return err
	}
	return runPipeline(cmd.Context(), pipe, func() error { return nil })
}

// verify says what is left.
func (d *desk) verify(ctx context.Context, out io.Writer) error {
	rows, err := d.db.ActorRows(ctx, d.person.Actors)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if r.Rows > 0 {
			return fmt.Errorf("erase: %d rows of the person are in %s again: another replica stored them meanwhile; run it again", r.Rows, r.Place)
		}
	}
	waiting, stored, _, err := d.spooled(nil)
	if err != nil {
		return err
	}
	if waiting+stored > 0 {
		fmt.Fprintf(out, "%d records that name the person are still on the disk of the spool, and go with their segment; run it again to see that they are gone\n", waiting+stored)
		return nil
	}
	fmt.Fprintln(out, "nothing of the person is left")
	return nil
}
