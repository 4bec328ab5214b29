package main

import (
	_ "embed"
	"fmt"

	"github.com/spf13/cobra"
)

// exampleConfig is the commented configuration that the README points to; a test keeps it valid.
//
//go:embed example.yaml
var exampleConfig string

func checkCommand() *cobra.Command {
	var example bool
	var path *string
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Explain every fault of a configuration at once",
		Long: `Reads a configuration and everything that it refers to, and prints every fault with file, line, column and what would be
right. Nothing is started and nothing is written. Exit code 1 when there is a fault. The FILE may as well be given by --config, as for other commands.`,
		Example: "  kubevalue check --example > kubevalue.yaml\n  kubevalue check kubevalue.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if example {
				fmt.Fprint(cmd.OutOrStdout(), exampleConfig)
				return nil
			}
			if len(args) == 1 {
				if cmd.Flags().Changed("config") && *path != args[0] {
					return usageError{err: fmt.Errorf("kubevalue check wants one FILE: %s is named, and %s by --config", args[0], *path), text: cmd.UsageString()}
				}
				*path = args[0]
			}
			cfg, err := loadConfig(*path)
			var faults Faults
			if asError(err, &faults) {
				fmt.Fprintln(cmd.OutOrStdout(), faults.Error())
				fmt.Fprintf(cmd.OutOrStdout(), "faults in %s: %d\n", *path, len(faults))
				return exitError{1}
			}
			if err != nil {
				return err
			}
			return describe(cmd.OutOrStdout(), cfg)
		},
	}
	path = configFlag(cmd)
	cmd.Flags().BoolVar(&example, "example", false, "print a commented configuration to start from")
	return cmd
}
