package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/schema/chdb"
)

func engineCommand() *cobra.Command {
	var data, library string
	cmd := &cobra.Command{
		Use:   "engine",
		Short: "Run the embedded ClickHouse engine (started by serve), or install its library",
		Long: `Serves ClickHouse's HTTP interface over libchdb on a unix socket in the data directory. ` + "`kubevalue serve`" + ` starts it by itself for
a warehouse DSN embedded:DIR; run it by hand to look at the tables with curl:

  kubevalue engine --data data/warehouse
  curl --unix-socket SOCKET http://engine/ --data 'SELECT count() FROM kubevalue.events'`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if data == "" {
				return usageError{err: errors.New("kubevalue engine wants --data DIR, or the command install"), text: cmd.UsageString()}
			}
			return chdb.Serve(cmd.Context(), chdb.ServeConfig{DataDir: data, Library: library, Logger: logger(cmd.ErrOrStderr(), false)})
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "directory of the tables")
	cmd.Flags().StringVar(&library, "library", "", "path of libchdb (default: searched next to the binary and in the user's cache)")
	cmd.AddCommand(&cobra.Command{
		Use:   "install",
		Short: "Fetch libchdb with npm into the user's cache directory",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := chdb.Install(cmd.Context(), cmd.OutOrStdout())
			return err
		},
	})
	return cmd
}
