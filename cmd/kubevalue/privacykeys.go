package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"text/tabwriter"

	"github.com/gofrs/flock"
	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/pipeline/identity"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

func privacyKeysCommand() *cobra.Command {
	return group("keys", "List, rotate and retire the keys that pseudonyms are found with",
		`The key file (identity.key_file) has a line per key, the one in force first. Whoever has a key can tell whether a name is behind a pseudonym, so
a key that may have leaked is rotated: names are hashed with the new key, and who is met again keeps the number they had, since older keys are
tried too. An older key is retired when everybody who still comes was seen under the new one: after spool.max_lateness at the earliest. What it
alone knew is then nobody's any more, which is a way of forgetting: who comes back is somebody new, and the names on the list of erased persons
that were not met since are off it.

Stop the service (all of its replicas) before rotating or retiring, and give every replica the same file.`,
		privacyKeysListCommand(), privacyKeysRotateCommand(), privacyKeysRetireCommand())
}

func privacyKeysListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the keys' versions and how many actors each one knows, never the keys", Args: cobra.NoArgs}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withWarehouse(cmd, *path, func(cfg *Config, db *warehouse.DB) error {
			if _, err := os.Stat(cfg.path(cfg.Identity.KeyFile)); err != nil {
				return fmt.Errorf("list the identity keys: %w", err)
			}
			keys, err := identity.LoadKeys(cfg.path(cfg.Identity.KeyFile))
			if err != nil {
				return err
			}
			uses, err := db.KeyUse(cmd.Context())
			if err != nil {
				return err
			}
			byVersion := map[uint32]schema.KeyUse{}
			for _, u := range uses {
				byVersion[u.Version] = u
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "VERSION\tSTATE\tACTORS\tNOT SEEN UNDER A NEWER ONE")
			for i, k := range keys {
				state := "older"
				if i == 0 {
					state = "in force"
				}
				fmt.Fprintf(w, "%d\t%s\t%d\t%d\n", k.Version, state, byVersion[k.Version].Actors, byVersion[k.Version].Only)
			}
			return w.Flush()
		})
	}
	return cmd
}

// whileStopped does f while no service runs on the configuration's spool: one that has the old keys would take new people for others.
func whileStopped(cfg *Config, f func() error) error {
	dir := cfg.path(cfg.Spool.Dir)
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return f()
	}
	lock := flock.New(dir+"/lock", flock.SetPermissions(0o600))
	got, err := lock.TryLock()
	if err != nil {
		return fmt.Errorf("lock %s: %w", dir, err)
	}
	if !got {
		return errors.New("the service is running, and would go on with the keys that it has: stop it (and its replicas) first")
	}
	defer lock.Close() //nolint:errcheck // nothing was written
	return f()
}

func privacyKeysRotateCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "rotate", Short: "Put a new random key in front; the service must be stopped", Args: cobra.NoArgs}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := loadConfig(*path)
		if err != nil {
			return err
		}
		return whileStopped(cfg, func() error {
			keys, err := identity.Rotate(cfg.path(cfg.Identity.KeyFile))
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "version %d is in force from the next start on, and %d older ones find who was seen before; back %s up\n",
				keys[0].Version, len(keys)-1, cfg.path(cfg.Identity.KeyFile))
			return nil
		})
	}
	return cmd
}

func privacyKeysRetireCommand() *cobra.Command {
	var forget bool
	cmd := &cobra.Command{
		Use: "retire VERSION", Short: "Remove an older key and the links that it made; the service must be stopped", Args: one("the VERSION of an older key"),
	}
	path := configFlag(cmd)
	cmd.Flags().BoolVar(&forget, "forget", false, "also when actors were not seen under a newer key: who of them comes back is somebody new")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		version, err := strconv.ParseUint(args[0], 10, 31)
		if err != nil || version == 0 {
			return fmt.Errorf("%q is no version: `kubevalue privacy keys list` shows them", args[0])
		}
		return withWarehouse(cmd, *path, func(cfg *Config, db *warehouse.DB) error {
			return whileStopped(cfg, func() error {
				uses, err := db.KeyUse(cmd.Context())
				if err != nil {
					return err
				}
				mayGo := func() error {
					for _, u := range uses {
						if u.Version == uint32(version) && u.Only > 0 && !forget {
							return fmt.Errorf("%d actors were not seen under a newer key than version %d: wait, or say --forget", u.Only, version)
						}
					}
					return nil
				}
				if err := identity.Retire(cfg.path(cfg.Identity.KeyFile), uint32(version), mayGo); err != nil {
					return err
				}
				if err := db.ForgetKey(cmd.Context(), uint32(version)); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "version %d is gone, and with it the links that it made\n", version)
				return nil
			})
		})
	}
	return cmd
}
