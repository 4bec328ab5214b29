// Command kubetest builds and runs a real Kubernetes control plane for tests.
// README.md tells how to use it.
package main

import (
	"context"
	_ "embed" // for the versions to build
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/collectors/kube/kubetest/binaries"
	"github.com/kubevalue/kubevalue/collectors/kube/kubetest/controlplane"
)

// The versions to build are those that this very module requires.
var (
	//go:embed go.mod
	modFile []byte
	//go:embed go.sum
	sumFile []byte
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := rootCommand().ExecuteContext(ctx)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubetest:", err)
		os.Exit(1)
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "kubetest",
		Short:         "A real Kubernetes control plane for tests",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(buildCommand(), upCommand())
	return root
}

func buildCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "build",
		Short: "Build what is missing in the cache, kubetest itself included, and print where it is",
		Long: `Build compiles etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok into
the user's cache directory, unless they are there, and puts kubetest beside them.
It prints one JSON object: {"dir": …, "kubetest": …, "built": […], "seconds": …}.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return build(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

// buildLine is what `kubetest build` prints.
type buildLine struct {
	// Dir has all programs; Kubetest is the path of this one among them.
	Dir      string `json:"dir"`
	Kubetest string `json:"kubetest"`
	// Built are the names of the programs that were missing.
	Built   []string `json:"built"`
	Seconds float64  `json:"seconds"`
}

func build(ctx context.Context, out, progress io.Writer) error {
	began := time.Now()
	programs, err := programSet()
	if err != nil {
		return err
	}
	built, err := programs.Build(ctx, progress)
	if err != nil {
		return err
	}
	self, err := programs.AddSelf()
	if err != nil {
		return err
	}
	if built == nil {
		built = []string{}
	}
	return json.NewEncoder(out).Encode(buildLine{programs.Dir, self, built, time.Since(began).Seconds()})
}

func upCommand() *cobra.Command {
	config := controlplane.Config{Now: time.Now}
	cmd := &cobra.Command{
		Use:   "up --dir DIR",
		Short: "Run a control plane until standard input ends",
		Long: `Up starts etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok on free
ports of 127.0.0.1 and prints one JSON object when they can take work. It stops them when
its standard input ends, on SIGTERM and on Ctrl-C. Lines on standard input are commands,
each answered by one JSON object:

    stop COMPONENT     end it in order (SIGTERM)
    kill COMPONENT     end it as a crash does (SIGKILL)
    start COMPONENT    start it again, at the same address

COMPONENT is etcd, apiserver, controller-manager, scheduler or kwok.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if config.Programs, err = programSet(); err != nil {
				return err
			}
			config.Progress = cmd.ErrOrStderr()
			return up(cmd, config)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&config.Dir, "dir", "", "folder for data, logs and credentials; empty or absent")
	flags.IntVar(&config.Nodes, "nodes", 3, "number of fake nodes (32 cores, 128 GiB, 250 pods each)")
	flags.StringVar(&config.UsersFile, "users", "", `file of users with their tokens: token,user,uid,"group1,group2"`)
	flags.StringVar(&config.Audit.PolicyFile, "audit-policy", "", "audit policy (default: all ended requests at level Metadata)")
	flags.StringVar(&config.Audit.WebhookURL, "audit-webhook", "", "address that gets the audit events")
	flags.StringVar(&config.Audit.WebhookTokenFile, "audit-webhook-token-file", "", "file of the bearer token for the audit webhook (https only)")
	flags.StringVar(&config.Audit.WebhookCAFile, "audit-webhook-ca", "", "file of the authority that verifies the audit webhook")
	flags.StringVar(&config.Audit.WebhookConfigFile, "audit-webhook-config", "", "kubeconfig of the audit webhook, in place of --audit-webhook")
	flags.DurationVar(&config.Audit.BatchMaxWait, "audit-batch-max-wait", 200*time.Millisecond, "how long an audit event waits for its batch to fill")
	flags.IntVar(&config.Audit.BatchMaxSize, "audit-batch-max-size", 400, "how many audit events a batch has at most")
	flags.DurationVar(&config.Audit.RetryBackoff, "audit-retry-backoff", 2*time.Second, "wait before a failed audit batch is sent again; grows by half, five attempts")
	flags.StringArrayVar(&config.APIServerArgs, "apiserver-arg", nil, "flag to add to kube-apiserver's, such as --apiserver-arg=--v=4; repeatable")
	flags.BoolVar(&config.Fsync, "fsync", false, "let etcd wait for the disk, and measure how long that takes")
	return cmd
}

func up(cmd *cobra.Command, config controlplane.Config) error {
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	began := time.Now()
	plane, err := controlplane.Start(ctx, config)
	if err != nil {
		return err
	}
	fmt.Fprintf(config.Progress, "kubetest: all ready after %s\n", time.Since(began).Round(time.Millisecond))
	err = control(ctx, plane, cmd.InOrStdin(), cmd.OutOrStdout())
	if closeErr := plane.Close(); err == nil {
		err = closeErr
	}
	return err
}

// programSet is the set of programs that this module's requirements describe.
func programSet() (binaries.Set, error) {
	dir, err := binaries.CacheDir()
	if err != nil {
		return binaries.Set{}, err
	}
	return binaries.New(dir, modFile, sumFile)
}
