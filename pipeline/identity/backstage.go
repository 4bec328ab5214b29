package identity

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/kubevalue/kubevalue/schema"
)

// Annotations that say what a catalog has no field for.
const (
	annotationUser      = "kubevalue.dev/user"      // of a User: the name that clusters know the person by; else the mail address, else the name
	annotationPersona   = "kubevalue.dev/persona"   // of a Group
	annotationVoluntary = "kubevalue.dev/voluntary" // of a Group: "false" when it was told to use the platform
	annotationFrom      = "kubevalue.dev/from"      // of a Group or capability: since when, a date or a time
	annotationTo        = "kubevalue.dev/to"        // likewise: until when, not part of it
	annotationEvents    = "kubevalue.dev/events"    // makes a Component, System, API or Resource a capability: the events that mean its use
)

// Catalog is what Backstage catalog files say of teams, of what they own, and of what the platform offers.
type Catalog struct {
	Teams        []CatalogTeam
	Components   map[string]string // owning teams by the value of schema.LabelComponent
	Capabilities []CatalogCapability
}

// CatalogTeam is a Group that has members, or whose type is "team". From and To are as written.
type CatalogTeam struct {
	Name, Persona, From, To string
	Members                 []string
	Voluntary               bool
}

// CatalogCapability is an entity that says which events mean its use. From and To are as written.
type CatalogCapability struct {
	Name, Title, Owner, From, To string
	Events                       []string
}

// entity is what is read of a catalog's entity; all else is Backstage's own affair.
type entity struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name        string            `yaml:"name"`
		Namespace   string            `yaml:"namespace"`
		Title       string            `yaml:"title"`
		Annotations map[string]string `yaml:"annotations"`
	} `yaml:"metadata"`
	Spec struct {
		Type     string   `yaml:"type"`
		Owner    string   `yaml:"owner"`
		System   string   `yaml:"system"`
		Members  []string `yaml:"members"`
		MemberOf []string `yaml:"memberOf"`
		Profile  struct {
			Email string `yaml:"email"`
		} `yaml:"profile"`
	} `yaml:"spec"`
	file string
}

// backstageGroup is the part of apiVersion that all versions of catalog entities share.
const backstageGroup = "backstage.io/"

// IsCatalog tells whether a YAML file holds entities of a Backstage catalog.
func IsCatalog(data []byte) bool {
	var first struct {
		APIVersion string `yaml:"apiVersion"`
	}
	return yaml.NewDecoder(bytes.NewReader(data)).Decode(&first) == nil && strings.HasPrefix(first.APIVersion, backstageGroup)
}

// CatalogFile is a file of a catalog with its name for messages.
type CatalogFile struct {
	Name string
	Data []byte
}

// ReadCatalog reads the Group, User, System, Component, API and Resource entities of files, which may refer to each other. All faults are
// joined. An owner that is a person stands for the one group of that person.
func ReadCatalog(files []CatalogFile) (Catalog, error) {
	b := books{entities: map[string]*entity{}, members: map[string][]string{}, groups: map[string][]string{}}
	for _, f := range files {
		b.read(f)
	}
	for _, e := range b.order {
		b.enlist(e)
	}
	out := Catalog{Components: map[string]string{}}
	for _, e := range b.order {
		switch strings.ToLower(e.Kind) {
		case "group":
			if t := b.team(e); len(t.Members) > 0 || e.Spec.Type == "team" {
				out.Teams = append(out.Teams, t)
			}
		case "component", "system", "api", "resource":
			b.owned(e, &out)
		}
	}
	return out, errors.Join(b.faults...)
}

// books are the entities by their reference.
type books struct {
	entities map[string]*entity
	order    []*entity
	// members are the persons by group, groups the groups by person.
	members, groups map[string][]string
	faults          []error
}

func (b *books) fault(e *entity, format string, args ...any) {
	b.faults = append(b.faults, fmt.Errorf("%s: %s %s: %s", e.file, e.Kind, e.Metadata.Name, fmt.Sprintf(format, args...)))
}

func (b *books) read(f CatalogFile) {
	dec := yaml.NewDecoder(bytes.NewReader(f.Data))
	for {
		e := &entity{file: f.Name}
		err := dec.Decode(e)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			b.faults = append(b.faults, fmt.Errorf("%s: no catalog entity: %w", f.Name, err))
			return
		}
		if !strings.HasPrefix(e.APIVersion, backstageGroup) || e.Metadata.Name == "" {
			if e.Kind != "" || e.APIVersion != "" {
				b.fault(e, "want an apiVersion that begins with %s, and a metadata.name", backstageGroup)
			}
			continue
		}
		ref := reference(e.Kind, e.Metadata.Namespace, e.Metadata.Name)
		if b.entities[ref] != nil {
			b.fault(e, "it is in %s, too", b.entities[ref].file)
			continue
		}
		b.entities[ref] = e
		b.order = append(b.order, e)
	}
}

// reference is the form of a full entity reference, in lower case: kind:namespace/name.
func reference(kind, namespace, name string) string {
	return strings.ToLower(kind + ":" + cmp.Or(namespace, "default") + "/" + name)
}

// referred reads [kind:][namespace/]name.
func referred(text, kind string, from *entity) string {
	if k, rest, ok := strings.Cut(text, ":"); ok {
		kind, text = k, rest
	}
	namespace := from.Metadata.Namespace
	if n, rest, ok := strings.Cut(text, "/"); ok {
		namespace, text = n, rest
	}
	return reference(kind, namespace, text)
}

// enlist notes who is in which group, which groups say and persons do.
func (b *books) enlist(e *entity) {
	self := reference(e.Kind, e.Metadata.Namespace, e.Metadata.Name)
	join := func(group, user string) {
		if b.entities[group] == nil {
			b.fault(e, "%s is not in the catalog", group)
			return
		}
		if !slices.Contains(b.members[group], user) {
			b.members[group] = append(b.members[group], user)
			b.groups[user] = append(b.groups[user], group)
		}
	}
	switch strings.ToLower(e.Kind) {
	case "group":
		for _, m := range e.Spec.Members {
			user := referred(m, "user", e)
			if b.entities[user] == nil {
				b.fault(e, "its member %s is not in the catalog", user)
				continue
			}
			join(self, user)
		}
	case "user":
		for _, g := range e.Spec.MemberOf {
			join(referred(g, "group", e), self)
		}
	}
}

func (b *books) team(e *entity) CatalogTeam {
	notes := e.Metadata.Annotations
	t := CatalogTeam{Name: e.Metadata.Name, Persona: notes[annotationPersona], From: notes[annotationFrom], To: notes[annotationTo], Voluntary: true}
	switch v := notes[annotationVoluntary]; v {
	case "", "true":
	case "false":
		t.Voluntary = false
	default:
		b.fault(e, "%s is %q, must be true or false", annotationVoluntary, v)
	}
	for _, ref := range slices.Sorted(slices.Values(b.members[reference(e.Kind, e.Metadata.Namespace, e.Metadata.Name)])) {
		u := b.entities[ref]
		t.Members = append(t.Members, cmp.Or(u.Metadata.Annotations[annotationUser], u.Spec.Profile.Email, u.Metadata.Name))
	}
	return t
}

// owned notes whose an entity is, and what it offers.
func (b *books) owned(e *entity, out *Catalog) {
	notes := e.Metadata.Annotations
	id, events := notes[schema.LabelComponent], notes[annotationEvents]
	if id == "" && events == "" {
		return
	}
	owner := b.owner(e)
	if owner == "" {
		return
	}
	if id != "" {
		if was := out.Components[id]; was != "" && was != owner {
			b.fault(e, "%s %q is of team %s already", schema.LabelComponent, id, was)
		}
		out.Components[id] = owner
	}
	if events != "" {
		offered := CatalogCapability{
			Name: e.Metadata.Name, Title: cmp.Or(e.Metadata.Title, e.Metadata.Name), Owner: owner, From: notes[annotationFrom], To: notes[annotationTo],
		}
		for name := range strings.SplitSeq(events, ",") {
			if name = strings.TrimSpace(name); name != "" {
				offered.Events = append(offered.Events, name)
			}
		}
		out.Capabilities = append(out.Capabilities, offered)
	}
}

// owner is the team that owns an entity: its own owner, or else that of its system.
func (b *books) owner(e *entity) string {
	from, text := e, e.Spec.Owner
	if text == "" && e.Spec.System != "" {
		ref := referred(e.Spec.System, "system", e)
		if from = b.entities[ref]; from == nil {
			b.fault(e, "%s is not in the catalog", ref)
			return ""
		}
		text = from.Spec.Owner
	}
	if text == "" {
		b.fault(e, "it has neither an owner nor a system with one")
		return ""
	}
	ref := referred(text, "group", from)
	if strings.HasPrefix(ref, "user:") {
		groups := b.groups[ref]
		if len(groups) != 1 {
			b.fault(e, "its owner %s is a person in %d groups; name the group", ref, len(groups))
			return ""
		}
		ref = groups[0]
	}
	g := b.entities[ref]
	if g == nil {
		known := slices.Sorted(maps.Keys(b.entities))
		known = slices.DeleteFunc(known, func(r string) bool { return !strings.HasPrefix(r, "group:") })
		b.fault(e, "its owner %s is not in the catalog, whose groups are %v", ref, known)
		return ""
	}
	return g.Metadata.Name
}
