package main

import (
	"fmt"
	"io"
)

// describe says in a few lines what a configuration without faults means, and loads what it refers to.
func describe(w io.Writer, cfg *Config) error {
	objectives, err := cfg.loadObjectives()
	if err != nil {
		return err
	}
	metrics, err := cfg.loadMetrics()
	if err != nil {
		return err
	}
	if _, err := cfg.loadMap(metrics); err != nil {
		return err
	}
	people := 0
	for _, t := range cfg.Roster {
		people += len(t.Members)
	}
	for _, warning := range cfg.told() {
		fmt.Fprintln(w, "warning:", warning)
	}
	fmt.Fprintf(w, "The configuration is right: %s, time zone %s, weeks from %s.\n", cfg.Organisation.Name, cfg.Organisation.Timezone, cfg.Organisation.WeekStart)
	fmt.Fprintf(w, "%d teams with %d members, %d clusters, %d probes, %d objectives, %d metrics, %d scheduled reports.\n",
		len(cfg.Roster), people, len(cfg.Clusters), len(cfg.Probes), len(objectives), len(metrics), len(cfg.Reports.Schedules))
	return nil
}
