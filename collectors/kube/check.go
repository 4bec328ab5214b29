package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubeschema "k8s.io/apimachinery/pkg/runtime/schema"
)

// Report is what Check found out about a cluster.
type Report struct {
	Name, Server string
	// Version is that of the API server, empty when it did not answer.
	Version string
	// Took is how long the answer took.
	Took time.Duration
	// Off says how its clock disagrees with ours, empty: it does not.
	Off string
	// Err says why it could not be reached, or why its permissions could not be asked for; nil: it could.
	Err error
	// NotServed are kinds that this cluster does not have, so that no permission for them is needed.
	NotServed []string
	// Missing are the permissions that the enabled kinds need and that are not there.
	Missing []Permission
	// Unreadable are kinds that may be read and that the cluster does not give, each with the reason.
	Unreadable []error
	// ClusterRole is the least role that the enabled kinds need, as YAML to apply.
	ClusterRole string
}

// Permission is the right to do something to all objects of a kind.
type Permission struct {
	Kind, Group, Resource, Verb string
}

// String is the permission as `kubectl auth can-i` takes it.
func (p Permission) String() string {
	if p.Group == "" {
		return p.Verb + " " + p.Resource
	}
	return p.Verb + " " + p.Resource + "." + p.Group
}

const verbList = "list"

// verbs are what watching a kind needs.
var verbs = []string{verbList, "watch"}

// checkTimeout bounds each request of a check.
const checkTimeout = 10 * time.Second

// Check tries to reach a cluster and asks it whether its credentials have the permissions that watching needs. It changes
// nothing. Whatever it finds is in the report.
func Check(ctx context.Context, c ClusterConfig) Report {
	report := Report{Name: c.Name, ClusterRole: ClusterRole(c, nil)}
	if report.Err = c.Validate(); report.Err != nil {
		return report
	}
	clients, err := Connect(c)
	if err != nil {
		report.Err = err
		return report
	}
	return check(ctx, c, clients, report)
}

func check(ctx context.Context, c ClusterConfig, clients *Clients, report Report) Report {
	report.Server = clients.Server
	begin := time.Now()
	one, cancel := context.WithTimeout(ctx, checkTimeout)
	report.Version, report.Err = clients.Version(one)
	cancel()
	report.Took = time.Since(begin)
	if report.Err != nil {
		report.Err = fmt.Errorf("cluster %q: %s does not answer: %w", c.Name, clients.Server, report.Err)
		return report
	}
	if clients.Skew != nil {
		report.Off = off(clients.Skew())
	}
	for _, k := range kinds {
		if !k.custom || !c.watches(k.name) {
			continue
		}
		one, cancel := context.WithTimeout(ctx, checkTimeout)
		version, err := clients.Serves(one, kubeschema.GroupResource{Group: k.group, Resource: k.resource})
		cancel()
		if err != nil {
			report.Err = fmt.Errorf("cluster %q: ask whether it serves %s: %w", c.Name, k.name, err)
			return report
		}
		if version == "" {
			report.NotServed = append(report.NotServed, k.name)
		}
	}
	if c.watches(kindPod) {
		one, cancel := context.WithTimeout(ctx, checkTimeout)
		version, err := clients.Serves(one, kubeschema.GroupResource{Group: useGroup, Resource: useResource})
		cancel()
		if err != nil || version == "" { // an add-on that is broken is as good as none
			report.NotServed = append(report.NotServed, kindUse)
		}
	}
	report.ClusterRole = ClusterRole(c, report.NotServed)
	for _, p := range permissions(c, report.NotServed) {
		allowed, err := can(ctx, clients.Typed, p)
		if err != nil {
			report.Err = fmt.Errorf("cluster %q: ask for the permission to %s: %w", c.Name, p, err)
			return report
		}
		if !allowed {
			report.Missing = append(report.Missing, p)
		}
	}
	report.Unreadable = unreadable(ctx, c, clients, report)
	return report
}

// unreadable asks for one object of each kind that may be listed, side by side: what a cluster lets us see, it may still not show.
func unreadable(ctx context.Context, c ClusterConfig, clients *Clients, report Report) []error {
	faults := make([]error, len(kinds))
	var reads sync.WaitGroup
	for i, k := range kinds {
		forbidden := slices.ContainsFunc(report.Missing, func(p Permission) bool { return p.Kind == k.name && p.Verb == verbList })
		if c.watches(k.name) && !slices.Contains(report.NotServed, k.name) && !forbidden {
			reads.Go(func() { faults[i] = readOne(ctx, k, clients) })
		}
	}
	reads.Wait()
	return slices.DeleteFunc(faults, func(err error) bool { return err == nil })
}

// readOne lists one object of a kind.
func readOne(ctx context.Context, k kind, clients *Clients) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	var from source
	if k.custom {
		of := kubeschema.GroupResource{Group: k.group, Resource: k.resource}
		version, err := clients.Serves(ctx, of)
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, plain(err))
		}
		from = custom(clients, of.WithVersion(version))
	} else {
		from = k.source(clients)
	}
	o := metav1.ListOptions{Limit: 1}
	list, err := from.list(ctx, o)
	if err == nil {
		err = progress(o, list)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", k.name, plain(err))
	}
	return nil
}

func can(ctx context.Context, client Typed, p Permission) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	answer, err := client.review(ctx, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: p.Verb, Group: p.Group, Resource: p.Resource},
		},
	})
	if err != nil {
		return false, err
	}
	return answer.Status.Allowed, nil
}

// permissions are what the enabled kinds need, but for those without.
func permissions(c ClusterConfig, without []string) []Permission {
	var all []Permission
	for _, k := range kinds {
		if c.watches(k.name) && !slices.Contains(without, k.name) {
			for _, verb := range verbs {
				all = append(all, Permission{Kind: k.name, Group: k.group, Resource: k.resource, Verb: verb})
			}
		}
	}
	if c.watches(kindPod) && !slices.Contains(without, kindUse) {
		all = append(all, Permission{Kind: kindUse, Group: useGroup, Resource: useResource, Verb: verbList})
	}
	return all
}

// ClusterRole is the least ClusterRole that watching the enabled kinds of a cluster needs, but for those without, as YAML. Every
// authenticated user may ask for the version and for what is served.
func ClusterRole(c ClusterConfig, without []string) string {
	byGroup := map[string][]string{}
	var groups []string
	for _, k := range kinds {
		if !c.watches(k.name) || slices.Contains(without, k.name) {
			continue
		}
		if byGroup[k.group] == nil {
			groups = append(groups, k.group)
		}
		byGroup[k.group] = append(byGroup[k.group], k.resource)
	}
	slices.Sort(groups)
	var b strings.Builder
	b.WriteString("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: kubevalue\nrules:\n")
	for _, group := range groups {
		slices.Sort(byGroup[group])
		fmt.Fprintf(&b, "- apiGroups: [%q]\n  resources: [%s]\n  verbs: [%s]\n", group, strings.Join(byGroup[group], ", "), strings.Join(verbs, ", "))
	}
	if c.watches(kindPod) && !slices.Contains(without, kindUse) {
		fmt.Fprintf(&b, "- apiGroups: [%q]\n  resources: [%s]\n  verbs: [list]\n", useGroup, useResource)
	}
	return b.String()
}
