// Command kubevalue is a product-metrics and value-analytics service for teams that run Kubernetes as a product.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// exitError carries the exit code of a command that has already said what there is to say.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program: it returns the exit code, 0 for success, 1 for failure, 2 for wrong usage or a malformed file.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var exit exitError
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "kubevalue: %v\n\n%s", err, usage.text)
		return 2
	default:
		fmt.Fprintf(stderr, "kubevalue: %v\n", err)
		return 1
	}
}

// usageError is a wrong flag, command or argument, with the usage of the command that it was given to.
type usageError struct {
	err  error
	text string
}

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

const configEnv = "KUBEVALUE_CONFIG"

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "kubevalue",
		Short: "Product metrics and value analytics for teams that run Kubernetes as a product",
		Long: `kubevalue says who uses a Kubernetes platform by free choice, where its users get stuck between creating, operating and
cleaning up, how much error budget was burnt and by what, and what that is worth.

Collectors take audit events, usage events and probes into ClickHouse (embedded unless configured otherwise), the SLO engine
computes uptime and error budgets, and reports, pages and alerts show them on the phases of the customer journey.

Start with ` + "`kubevalue demo`" + ` for a service with a simulated organisation, or write a configuration
(` + "`kubevalue check --example > kubevalue.yaml`" + `) and run ` + "`kubevalue serve --config kubevalue.yaml`" + `.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          unknownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{err: flagSuggestion(cmd, err), text: cmd.UsageString()}
	})
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		serveCommand(), demoCommand(), checkCommand(), migrateCommand(), sloCommand(), metricCommand(), journeyCommand(),
		reportCommand(), importCommand(), sendCommand(), tokenCommand(), auditPolicyCommand(), privacyCommand(), quarantineCommand(), rulesCommand(), storageCommand(), clusterCommand(), costCommand(), ownerCommand(), feedbackCommand(), incidentCommand(),
		engineCommand(), versionCommand(),
	)
	withUsage(root)
	return root
}

// withUsage makes wrong arguments of a command and of all below it a wrong usage.
func withUsage(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := cmp.Or(check(cmd, args), cmd.ValidateRequiredFlags())
			var usage usageError
			if err == nil || errors.As(err, &usage) {
				return err
			}
			return usageError{err: err, text: cmd.UsageString()}
		}
	}
	for _, sub := range cmd.Commands() {
		withUsage(sub)
	}
}

// unknownCommand refuses arguments that are no subcommand, and names the nearest one.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	message := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
	if near := nearestCommand(cmd, args[0]); near != "" {
		message += fmt.Sprintf("; did you mean %q?", near)
	}
	return usageError{err: errors.New(message), text: cmd.UsageString()}
}

// nearestCommand is the subcommand that a word is most likely meant to be: one that it begins, or that differs by a letter in
// three at most. Empty: none is near enough to be more than a guess.
func nearestCommand(cmd *cobra.Command, word string) string {
	best, distance := "", len(word)/3+1
	for _, sub := range cmd.Commands() {
		if sub.Hidden {
			continue
		}
		d := editDistance(word, sub.Name())
		if len(word) > 1 && strings.HasPrefix(sub.Name(), word) {
			d = 0
		}
		if d < distance {
			best, distance = sub.Name(), d
		}
	}
	return best
}

// group is a command that only has subcommands.
func group(use, short, long string, subs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(subs...)
	return cmd
}

// one wants exactly one argument.
func one(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return nil
		}
		return usageError{err: fmt.Errorf("%s wants %s, not %d arguments", cmd.CommandPath(), what, len(args)), text: cmd.UsageString()}
	}
}

// atLeastOne wants one argument or more.
func atLeastOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return nil
		}
		return usageError{err: fmt.Errorf("%s wants %s", cmd.CommandPath(), what), text: cmd.UsageString()}
	}
}

// configFlag adds --config, which falls back to $KUBEVALUE_CONFIG and then to kubevalue.yaml.
func configFlag(cmd *cobra.Command) *string {
	path := os.Getenv(configEnv)
	if path == "" {
		path = "kubevalue.yaml"
	}
	return cmd.Flags().StringP("config", "c", path, "configuration file (default also from $"+configEnv+")")
}

// logger writes for operators to standard error.
func logger(w io.Writer, verbose bool) *slog.Logger {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}
