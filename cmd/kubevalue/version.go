package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/schema/chdb"
)

// version is set by the release build; a build from a checkout says its revision.
var version = "devel"

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the versions of kubevalue, Go and the embedded engine",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			revision := ""
			if info, ok := debug.ReadBuildInfo(); ok {
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						revision = " (" + s.Value + ")"
					}
				}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "kubevalue %s%s\n%s %s/%s\nlibchdb %s\n", version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH, chdb.Version())
			return nil
		},
	}
}
