package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/pipeline/identity"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

func privacyLiftCommand() *cobra.Command {
	var confirm bool
	cmd := &cobra.Command{
		Use:   "lift --actor NAME",
		Short: "Let a person who was erased, and comes back, count as an actor again",
		Long: `Takes the name off the list of the erased: what comes of it from then on has an actor again, a new one. What was erased stays erased, and
what came meanwhile stays without an actor. Each name is lifted by itself, since nothing says any more which names were one person's. A running
service obeys from its next events on. Without --confirm nothing changes.`,
		Example: "  kubevalue privacy lift --actor ann@example.com --confirm",
		Args:    cobra.NoArgs,
	}
	path, actor := configFlag(cmd), actorFlag(cmd)
	cmd.Flags().BoolVar(&confirm, "confirm", false, "do it")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withWarehouse(cmd, *path, func(cfg *Config, db *warehouse.DB) error {
			d, err := openDesk(cmd.Context(), cfg, db, *actor)
			if err != nil {
				return err
			}
			return d.lift(cmd, confirm)
		})
	}
	return cmd
}

func (d *desk) lift(cmd *cobra.Command, confirm bool) error {
	if !d.person.Suppressed {
		return errors.New("this name was not erased, or under an identity key that is no more: there is nothing to lift")
	}
	if !confirm {
		fmt.Fprintln(cmd.OutOrStdout(), "this name was erased; nothing was changed: add --confirm to let it count again")
		return nil
	}
	err := d.exclusively(cmd.Context(), func(ctx context.Context) error { return d.db.RemoveSuppressed(ctx, d.person.Links) })
	if err != nil {
		return fmt.Errorf("lift the erasure: %w; run it again", err)
	}
	fmt.Fprintln(cmd.OutOrStdout(), "later events of this name have an actor again, a new one")
	return nil
}

// finishErasures goes on with erasures that were interrupted. Their names are known by their hashes only.
func finishErasures(ctx context.Context, cfg *Config, db *warehouse.DB, resolver *identity.Resolver, log *slog.Logger) error {
	begun, err := db.Erasures(ctx)
	if err != nil || len(begun) == 0 {
		return err
	}
	log.InfoContext(ctx, "erasures that were interrupted are finished", "surrogates", len(begun))
	d := &desk{cfg: cfg, db: db, resolver: resolver}
	return d.exclusively(ctx, func(ctx context.Context) error {
		var err error
		if d.person, err = resolver.Erased(ctx); err != nil {
			return err
		}
		// Another one may have finished them meanwhile.
		if begun, err = db.Erasures(ctx); err != nil {
			return err
		}
		return d.remove(ctx, begun)
	})
}
