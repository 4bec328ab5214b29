package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/schema/chdb"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

// openWarehouse opens the warehouse of a configuration. Commands attach to the engine that a running service has started;
// the service itself wants its own.
func openWarehouse(ctx context.Context, cfg *Config, log *slog.Logger, attach bool) (*warehouse.DB, error) {
	db, err := warehouse.Open(ctx, warehouse.Options{DSN: cfg.dsn(), Library: cfg.path(cfg.Warehouse.Library), Attach: attach, Logger: log})
	if errors.Is(err, chdb.ErrLibraryMissing) && (cfg.Warehouse.Library != "" || os.Getenv(chdb.LibraryEnv) != "") {
		return nil, fmt.Errorf("%w; name the right file, or leave the setting out and fetch the library with `kubevalue engine install`", err)
	}
	return db, err
}

// withWarehouse runs a command on the warehouse of the configuration at path.
func withWarehouse(cmd *cobra.Command, path string, run func(cfg *Config, db *warehouse.DB) error) error {
	cfg, err := loadConfig(path)
	if err != nil {
		return err
	}
	db, err := openWarehouse(cmd.Context(), cfg, quiet(cmd.ErrOrStderr()), true)
	if err != nil {
		return err
	}
	defer db.Close()
	return run(cfg, db)
}

// quiet logs warnings and errors only, for commands whose answer is on standard output.
func quiet(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func migrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the warehouse's tables up to date",
		Long: `Applies the migrations that the warehouse does not have yet, one migrator at a time, and prints their names. ` + "`kubevalue serve`" + `
does so by itself when it starts. Every statement can be repeated: after a failure, run it again.`,
		Args: cobra.NoArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withWarehouse(cmd, *path, func(cfg *Config, db *warehouse.DB) error {
			applied, err := db.Migrate(cmd.Context())
			if err == nil {
				err = applyRetention(cmd.Context(), cfg, db)
			}
			for _, name := range applied {
				fmt.Fprintln(cmd.OutOrStdout(), "applied", name)
			}
			if err == nil && len(applied) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "the tables are up to date")
			}
			return err
		})
	}
	return cmd
}

func storageCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "storage",
		Short: "Show rows, bytes, compression, oldest, newest and retention of each table",
		Long: `Lists what each table costs on this server, the largest first. COMPRESSION is how much larger the rows are unpacked. KEPT is the retention
that is set in the configuration (retention:); rows that are past it go in the background. Figures that were published are kept for ever.`,
		Args: cobra.NoArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withWarehouse(cmd, *path, func(_ *Config, db *warehouse.DB) error {
			tables, err := db.Storage(cmd.Context())
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "TABLE\tROWS\tBYTES\tCOMPRESSION\tOLDEST (UTC)\tNEWEST (UTC)\tKEPT")
			for _, t := range tables {
				compression := "-"
				if t.CompressedBytes > 0 {
					compression = strconv.FormatFloat(float64(t.Uncompressed)/float64(t.CompressedBytes), 'f', 1, 64) + "x"
				}
				kept := "for ever"
				if t.Retention > 0 {
					kept = daysText(t.Retention)
				}
				fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", t.Table, t.Rows, byteText(t.CompressedBytes), compression, timeText(t.Oldest), timeText(t.Newest), kept)
			}
			return w.Flush()
		})
	}
	return cmd
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04")
}

func byteText(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}
