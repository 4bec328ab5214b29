package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/collectors"
)

func tokenCommand() *cobra.Command {
	return group("token", "Create, list and revoke the tokens of senders and readers",
		`A token says what its holder may do: which endpoints it may speak to, under which source name its events are counted, for which
teams and clusters, and how fast. Tokens are stored hashed, expire, and are shown once. A running service sees changes at once.

Endpoints: `+strings.Join(collectors.Endpoints(), ", ")+`.`,
		tokenCreateCommand(), tokenListCommand(), tokenRevokeCommand())
}

// openTokens opens the token store of a configuration.
func openTokens(cfg *Config) (*collectors.TokenStore, error) {
	store, err := collectors.OpenTokens(cfg.path(cfg.Server.Tokens), time.Now)
	if err == nil {
		store.LimitAll(cfg.Server.Rate)
	}
	return store, err
}

// configuredTokens opens the token store of the configuration at path.
func configuredTokens(path string) (*collectors.TokenStore, error) {
	cfg, err := loadConfig(path)
	if err != nil {
		return nil, err
	}
	return openTokens(cfg)
}

func tokenCreateCommand() *cobra.Command {
	var g collectors.Grant
	var expires Duration
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a token and print it, once",
		Example: `  kubevalue token create prod-eu-audit --endpoint audit --cluster prod-eu
  kubevalue token create edge --endpoint agent --cluster edge-7
  kubevalue token create ci --endpoint events --team payments --rate 100 --expires 90d`,
		Args: one("a NAME"),
	}
	path := configFlag(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&g.Endpoints, "endpoint", nil, "what it may speak to (repeatable): "+strings.Join(collectors.Endpoints(), ", "))
	f.StringVar(&g.Source, "source", "", "namespace of its events' ids (default: the token's name)")
	f.StringSliceVar(&g.Teams, "team", nil, "teams that its events may name (default: any)")
	f.StringSliceVar(&g.Clusters, "cluster", nil, "clusters that its events may come from (default: any)")
	f.Float64Var(&g.Rate, "rate", 0, "events per second, after a burst of 1000 or a second's worth (default: no limit of its own)")
	f.BoolVar(&g.Backfill, "backfill", false, "lift the limit on late events")
	expires = Duration(365 * 24 * time.Hour)
	f.Var((*durationFlag)(&expires), "expires", "how long it is good for, e.g. 12h or 90d")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		store, err := configuredTokens(*path)
		if err != nil {
			return err
		}
		g.Name, g.Expires = args[0], time.Now().Add(time.Duration(expires)).UTC().Truncate(time.Second)
		token, err := store.Create(g)
		if err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), token)
		fmt.Fprintf(cmd.ErrOrStderr(), "%s is good until %s; it is not shown again\n", g.Name, g.Expires.Format(time.RFC3339))
		return nil
	}
	return cmd
}

func tokenListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the tokens' names and grants, never the tokens", Args: cobra.NoArgs}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		store, err := configuredTokens(*path)
		if err != nil {
			return err
		}
		tokens, err := store.List()
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "NAME\tSOURCE\tENDPOINTS\tTEAMS\tCLUSTERS\tEVENTS/S\tEXPIRES")
		for _, t := range tokens {
			expires := t.Expires.Format(time.RFC3339)
			if !time.Now().Before(t.Expires) {
				expires += " (expired)"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", t.Name, t.Source, strings.Join(t.Endpoints, ","), orAny(t.Teams), orAny(t.Clusters), rateText(t.Rate), expires)
		}
		return w.Flush()
	}
	return cmd
}

func orAny(names []string) string {
	if len(names) == 0 {
		return "any"
	}
	return strings.Join(names, ",")
}

func rateText(perSecond float64) string {
	if perSecond == 0 {
		return "unlimited"
	}
	return fmt.Sprintf("%g", perSecond)
}

func tokenRevokeCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "revoke NAME", Short: "Make a token worthless, at once", Args: one("a NAME")}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		store, err := configuredTokens(*path)
		if err != nil {
			return err
		}
		if err := store.Revoke(args[0]); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s is revoked\n", args[0])
		return nil
	}
	return cmd
}

// durationFlag is a Duration as a command-line flag.
type durationFlag Duration

func (d *durationFlag) String() string {
	const day = 24 * time.Hour
	if whole := time.Duration(*d); whole > 0 && whole%day == 0 {
		return fmt.Sprintf("%dd", whole/day)
	}
	return time.Duration(*d).String()
}
func (d *durationFlag) Set(s string) error { return (*Duration)(d).UnmarshalText([]byte(s)) }
func (d *durationFlag) Type() string       { return "duration" }
