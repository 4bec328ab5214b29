// Package identity decides who acted: a person or a machine, under which pseudonym, and in which team of the roster. Names come in and
// surrogates go out; no name leaves it, not even in an error.
package identity

import (
	"regexp"
	"slices"
	"strings"

	"github.com/kubevalue/kubevalue/schema"
)

// Rules say what is known of names. The zero value knows Kubernetes' own machines.
type Rules struct {
	// Machines match user names that look human and are not.
	Machines []*regexp.Regexp
	// Shared match accounts that several people use: nobody knows who acted.
	Shared []*regexp.Regexp
	// Prefixes are stripped from user names, the first that fits, e.g. an API server's --oidc-username-prefix.
	Prefixes []string
	// Same maps further names of an actor to the main one.
	Same map[string]string
	// Groups are the teams behind groups of users, as the authenticator names them.
	Groups map[string]string
}

// Name is the one form of a name that all sources share: without a configured prefix, mapped to the main name, and in lower case
// where it is a mail address, whose case carries no meaning.
func (r Rules) Name(raw string) string {
	name := strings.TrimSpace(raw)
	for _, p := range r.Prefixes {
		if rest, ok := strings.CutPrefix(name, p); ok && rest != "" {
			name = rest
			break
		}
	}
	if main, ok := r.Same[name]; ok {
		name = main
	}
	if strings.Contains(name, "@") && !strings.HasPrefix(name, "system:") {
		name = strings.ToLower(name)
	}
	return name
}

// Kind says whether a name, as Name returns it, is a person's or a machine's. What the sender says wins, "unknown" included, except that shared accounts and
// missing names are nobody's. Members of system:masters are unknown too: their certificates are handed around.
func (r Rules) Kind(name string, groups []string, said schema.ActorKind) schema.ActorKind {
	switch {
	case name == "", name == "system:anonymous", matches(r.Shared, name):
		return schema.ActorUnknown
	case said != "":
		return said
	case strings.HasPrefix(name, "system:"), matches(r.Machines, name),
		slices.Contains(groups, "system:serviceaccounts"), slices.Contains(groups, "system:nodes"):
		return schema.ActorMachine
	case slices.Contains(groups, "system:masters"):
		return schema.ActorUnknown
	}
	return schema.ActorHuman
}

// Team is the team of a person in groups that one team stands behind; empty: none of the groups is known, or they are of several teams.
func (r Rules) Team(groups []string) string {
	team := ""
	for _, g := range groups {
		switch of := r.Groups[g]; {
		case of == "" || of == team:
		case team != "":
			return ""
		default:
			team = of
		}
	}
	return team
}

func matches(patterns []*regexp.Regexp, name string) bool {
	return slices.ContainsFunc(patterns, func(p *regexp.Regexp) bool { return p.MatchString(name) })
}
