package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kubevalue/kubevalue/pipeline/identity"
)

// checkRosterFiles reads the files that the roster and the catalog are in, and adds what they hold to the configuration.
func (c *Config) checkRosterFiles(f *yamlFile) {
	for i, pattern := range c.RosterFiles {
		at := indexed("roster_files", i)
		for _, name := range c.matching(f, at, pattern) {
			teams, err := c.readRoster(name)
			if err != nil {
				f.addAll(at, err)
			}
			c.Roster = append(c.Roster, teams...)
		}
	}
	var files []identity.CatalogFile
	for i, pattern := range c.Owners.Backstage {
		at := indexed("owners.backstage", i)
		for _, name := range c.matching(f, at, pattern) {
			data, err := os.ReadFile(name)
			if err != nil {
				f.At(at, "%v", err)
			}
			files = append(files, identity.CatalogFile{Name: name, Data: data})
		}
	}
	if len(files) == 0 {
		return
	}
	catalog, err := identity.ReadCatalog(files)
	for _, fault := range each(err) {
		f.At("owners.backstage", "%v", fault)
	}
	c.components = catalog.Components
	for _, t := range catalog.Teams {
		voluntary := t.Voluntary
		team := TeamConfig{Team: t.Name, Members: t.Members, From: t.From, To: t.To, Voluntary: &voluntary, Persona: t.Persona}
		c.checkSpan(f, "owners.backstage", t.From, t.To)
		c.Roster = append(c.Roster, team)
	}
	for _, o := range catalog.Capabilities {
		c.Capabilities = append(c.Capabilities, CapabilityConfig{Name: o.Name, Title: o.Title, Owner: o.Owner, Events: o.Events, From: o.From, To: o.To})
	}
}

// matching are the files of a pattern.
func (c *Config) matching(f *yamlFile, at, pattern string) []string {
	files, err := filepath.Glob(c.path(pattern))
	if err != nil || len(files) == 0 {
		f.At(at, "no file matches %q; paths start at the configuration's directory", pattern)
	}
	return files
}

// readRoster reads a file of teams: CSV when it is called so, else YAML with the entries of roster.
func (c *Config) readRoster(name string) ([]TeamConfig, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if identity.IsCatalog(data) {
		return nil, fmt.Errorf("%s holds a Backstage catalog: name it under owners.backstage", name)
	}
	if strings.EqualFold(filepath.Ext(name), ".csv") {
		return c.rosterCSV(name, data)
	}
	var in struct {
		Roster []TeamConfig `yaml:"roster"`
	}
	f := decodeFile(name, data, &in)
	if f.root != nil {
		inner := *c
		inner.Roster = in.Roster
		inner.checkRoster(f)
	}
	return in.Roster, f.Err()
}

// rosterColumns are the columns that a CSV file may have.
var rosterColumns = []string{"team", "member", "from", "to", "voluntary", "persona"}

// rosterCSV reads a table with a head: a row for each member, or for a team without any. Rows that agree in all but the member are one entry.
func (c *Config) rosterCSV(name string, data []byte) ([]TeamConfig, error) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	head, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("%s: read the head of the table: %w", name, err)
	}
	at := map[string]int{}
	for i, column := range head {
		column = strings.ToLower(strings.TrimSpace(column))
		if !slices.Contains(rosterColumns, column) {
			return nil, fmt.Errorf("%s: unknown column %q; known are %s", name, column, strings.Join(rosterColumns, ", "))
		}
		at[column] = i
	}
	if _, ok := at["team"]; !ok {
		return nil, fmt.Errorf("%s: no column team in the head of the table", name)
	}
	t := rosterTable{config: c, file: name, reader: r, at: at, entries: map[string]int{}}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		t.row(record)
	}
	if len(t.faults) > 0 {
		return nil, t.faults
	}
	return t.teams, nil
}

// rosterTable collects the entries of a table.
type rosterTable struct {
	config  *Config
	file    string
	reader  *csv.Reader
	at      map[string]int
	teams   []TeamConfig
	entries map[string]int
	faults  Faults
}

func (t *rosterTable) row(record []string) {
	cell := func(column string) string {
		if i, ok := t.at[column]; ok {
			return strings.TrimSpace(record[i])
		}
		return ""
	}
	fault := func(column, format string, args ...any) {
		line, place := t.reader.FieldPos(t.at[column])
		t.faults = append(t.faults, Fault{File: t.file, Line: line, Column: place, Message: fmt.Sprintf(format, args...)})
	}
	team := TeamConfig{Team: cell("team"), From: cell("from"), To: cell("to"), Persona: cell("persona")}
	if team.Team == "" {
		fault("team", "a team needs a name")
	}
	from, err := t.config.instant(team.From)
	if err != nil {
		fault("from", "%v", err)
	}
	to, wrong := t.config.instant(team.To)
	if wrong != nil {
		fault("to", "%v", wrong)
	}
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		fault("to", "%s is not after from (%s)", team.To, team.From)
	}
	switch v := strings.ToLower(cell("voluntary")); v {
	case "", "true", "yes":
	case "false", "no":
		team.Voluntary = new(false)
	default:
		fault("voluntary", "%q is not true or false", v)
	}
	key := fmt.Sprintf("%q %q %q %v %q", team.Team, team.From, team.To, team.Voluntary == nil, team.Persona)
	i, known := t.entries[key]
	if !known {
		i = len(t.teams)
		t.entries[key] = i
		t.teams = append(t.teams, team)
	}
	if member := cell("member"); member != "" {
		t.teams[i].Members = append(t.teams[i].Members, member)
	}
}
