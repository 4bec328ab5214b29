package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/collectors/usage"
	"github.com/kubevalue/kubevalue/pipeline"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

// eventFiles are the flags of `kubevalue import events`.
type eventFiles struct {
	columns               map[string]string
	source, layout, comma string
}

func importEventsCommand() *cobra.Command {
	var in eventFiles
	cmd := &cobra.Command{
		Use:   "events FILE…",
		Short: "Import usage events from CSV or NDJSON files",
		Long: `Reads usage events from files of CSV (.csv, .tsv), with the columns' names in the first line, or of one JSON object a line (.ndjson, .jsonl,
.json); - is standard input. Columns of the same name as a field are taken as they are; --map names others, or a value for all rows ("=VALUE"). The fields:
` + strings.Join(usage.Fields(), ", ") + ` and attributes.KEY. The same file imported again within 7 days changes nothing; events may be as old as they are.
Rows that are no events are listed with their line, and all others are imported; the exit code is 1 then.`,
		Example: `  kubevalue import events visits.csv --map name==report.visit --map actor=user_mail --map time=visited_at
  kubevalue import events tickets.tsv --source tickets --map id=ticket --map name==ticket.open --map time=created --time-layout "2006-01-02 15:04"`,
		Args: atLeastOne("the FILEs to import"),
	}
	path := configFlag(cmd)
	f := cmd.Flags()
	f.StringToStringVar(&in.columns, "map", nil, "FIELD=COLUMN, or FIELD==VALUE (repeatable)")
	f.StringVar(&in.source, "source", "import", "namespace of the events' ids")
	f.StringVar(&in.layout, "time-layout", "", "how times are written: unix, unix_ms, or as Go writes 2 January 2006 15:04:05 (default: RFC 3339); without a zone: the reporting one")
	f.StringVar(&in.comma, "comma", "", "what separates the fields of CSV (default: a comma; a tab for .tsv)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if in.comma != "" && utf8.RuneCountInString(in.comma) != 1 {
			return usageError{err: fmt.Errorf("--comma %q: want one character", in.comma), text: cmd.UsageString()}
		}
		return withWarehouse(cmd, *path, func(cfg *Config, db *warehouse.DB) error {
			if _, err := db.Migrate(cmd.Context()); err != nil {
				return err
			}
			refused := 0
			err := importing(cmd, cfg, db, func(pipe *pipeline.Pipeline) error {
				for _, name := range args {
					file := usage.FileConfig{Name: name, Location: cfg.zone, Sink: backfill{pipe}, Validate: pipeline.Validate}
					summary, err := in.read(cmd, file)
					fmt.Fprintf(cmd.OutOrStdout(), "%s: %s", name, summary)
					if err != nil {
						return err
					}
					refused += summary.Refused
				}
				return nil
			})
			if err == nil && refused > 0 {
				err = exitError{1}
			}
			return err
		})
	}
	return cmd
}

// read imports one file, with progress by its bytes.
func (in eventFiles) read(cmd *cobra.Command, cfg usage.FileConfig) (usage.FileSummary, error) {
	file, size := cmd.InOrStdin(), int64(-1)
	if cfg.Name != "-" {
		f, err := os.Open(cfg.Name)
		if err != nil {
			return usage.FileSummary{}, fmt.Errorf("import events: %w", err)
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			size = info.Size()
		}
		file = f
	}
	bar := newBar(cmd.ErrOrStderr(), "importing "+filepath.Base(cfg.Name), size)
	defer func() { _ = bar.Finish() }()
	cfg.Reader, cfg.Source, cfg.Columns, cfg.Layout, cfg.Now = io.TeeReader(file, bar), in.source, in.columns, in.layout, time.Now
	cfg.Format, cfg.Comma = formatOf(cfg.Name)
	if in.comma != "" {
		cfg.Comma, _ = utf8.DecodeRuneInString(in.comma)
	}
	return usage.ImportFile(cmd.Context(), cfg)
}

// formatOf is what a file's name says of its format and, for CSV, of what separates its fields.
func formatOf(name string) (usage.FileFormat, rune) {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".csv":
		return usage.FormatCSV, ','
	case ".tsv", ".tab":
		return usage.FormatCSV, '\t'
	case ".ndjson", ".jsonl", ".json":
		return usage.FormatNDJSON, 0
	}
	return usage.FormatAuto, 0
}
