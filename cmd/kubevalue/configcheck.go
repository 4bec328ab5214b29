package main

import (
	"math"
	"net"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/kubevalue/kubevalue/collectors/probe"
)

// check adds a fault for every value that is well-formed and wrong.
func (c *Config) check(f *yamlFile) {
	c.checkOrganisation(f)
	c.checkServer(f)
	c.checkWarehouse(f)
	c.checkRetention(f)
	c.checkIdentity(f)
	c.checkIgnored(f)
	c.checkRoster(f)
	c.checkRosterFiles(f)
	c.checkOwners(f)
	c.checkCapabilities(f)
	c.checkProbes(f)
	c.checkPrometheus(f)
	c.checkScrapes(f)
	c.checkExclusions(f)
	c.checkObjectives(f)
	c.checkExcluded(f)
	c.checkIdle(f)
	c.checkPrices(f)
	c.checkReports(f)
	c.checkFeedback(f)
	c.checkCosts(f)
	c.checkDrift(f)
}

func (c *Config) checkOrganisation(f *yamlFile) {
	zone, err := time.LoadLocation(c.Organisation.Timezone)
	if err != nil || c.Organisation.Timezone == "" || c.Organisation.Timezone == "Local" {
		f.At("organisation.timezone", "%q is no IANA time zone; write e.g. Europe/Berlin or UTC", c.Organisation.Timezone)
		zone = time.UTC
	}
	c.zone = zone
	if _, ok := weekdays[c.Organisation.WeekStart]; !ok {
		f.At("organisation.week_start", "%q is no weekday; write monday or sunday", c.Organisation.WeekStart)
	}
	if c.Organisation.SmallGroup < 1 {
		f.At("organisation.small_group", "%d is too small; 1 suppresses nothing, 5 is the default", c.Organisation.SmallGroup)
	}
}

var weekdays = map[string]time.Weekday{
	"monday": time.Monday, "tuesday": time.Tuesday, "wednesday": time.Wednesday, "thursday": time.Thursday,
	"friday": time.Friday, "saturday": time.Saturday, "sunday": time.Sunday,
}

func (c *Config) checkServer(f *yamlFile) {
	s := c.Server
	if _, _, err := net.SplitHostPort(s.Listen); err != nil {
		f.At("server.listen", "%q is not host:port; write 127.0.0.1:8420", s.Listen)
	} else if !loopback(s.Listen) && s.TLSCert == "" && !s.PlainHTTP {
		f.At("server.listen", "%q is reachable from other machines without TLS, so tokens would travel in the clear; set tls_cert and tls_key, or plain_http: true when a proxy in front speaks TLS", s.Listen)
	}
	if (s.TLSCert == "") != (s.TLSKey == "") {
		f.At("server.tls_cert", "tls_cert and tls_key go together")
	}
	if s.BaseURL != "" && !httpURL(s.BaseURL) {
		f.At("server.base_url", "%q is no http(s) URL", s.BaseURL)
	}
	if s.Rate < 0 || math.IsNaN(s.Rate) || s.Rate > math.MaxInt32 {
		f.At("server.rate", "%v events per second; write 0 for no limit, or how many", s.Rate)
	}
	if s.MaxBody < 1<<10 || s.MaxBody > 1<<30 {
		f.At("server.max_body", "%d bytes are outside 1KiB..1GiB", s.MaxBody)
	}
}

// loopback says whether an address can be reached from this machine only.
func loopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func httpURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

func (c *Config) checkWarehouse(f *yamlFile) {
	scheme, rest, ok := strings.Cut(c.Warehouse.DSN, ":")
	if !ok || rest == "" || !slices.Contains([]string{"embedded", "unix", "clickhouse", "http", "https"}, scheme) {
		f.At("warehouse.dsn", "write embedded:DIR, clickhouse://user@host:9000/kubevalue or https://host:8443/kubevalue")
	}
	if c.Spool.MaxBytes < 1<<20 {
		f.At("spool.max_bytes", "%d bytes are too few; 1MiB at least", c.Spool.MaxBytes)
	}
	if c.Spool.MaxLateness < Duration(time.Hour) {
		f.At("spool.max_lateness", "%s is too short; 1h at least, 30d is the default", time.Duration(c.Spool.MaxLateness))
	}
}

func (c *Config) checkIdentity(f *yamlFile) {
	for key, list := range map[string][]string{"machines": c.Identity.Machines, "shared": c.Identity.Shared} {
		for i, pattern := range list {
			if _, err := regexp.Compile(pattern); err != nil {
				f.At(indexed("identity."+key, i), "%q is no regular expression: %v", pattern, err)
			}
		}
	}
}

// checkIgnored refuses what would leave out nobody, or everybody.
func (c *Config) checkIgnored(f *yamlFile) {
	for i, user := range c.Identity.Ignore {
		if name := strings.TrimSuffix(user, "*"); name == "" || strings.Contains(name, "*") {
			f.At(indexed("identity.ignore", i), "%q: write a user's name, or the beginning of names and a final *", user)
		}
	}
}

func (c *Config) checkRoster(f *yamlFile) {
	for i, t := range c.Roster {
		path := indexed("roster", i)
		if t.Team == "" {
			f.At(path+".team", "a team needs a name")
		}
		from := c.checkInstant(f, path+".from", t.From)
		to := c.checkInstant(f, path+".to", t.To)
		if !from.IsZero() && !to.IsZero() && !from.Before(to) {
			f.At(path+".to", "%s is not after from (%s)", t.To, t.From)
		}
	}
}

func (c *Config) checkInstant(f *yamlFile, path, s string) time.Time {
	t, err := c.instant(s)
	if err != nil {
		f.At(path, "%v", err)
	}
	return t
}

func (c *Config) checkProbes(f *yamlFile) {
	seen := map[string]bool{}
	for i, p := range c.Probes {
		path := indexed("probes", i)
		if p.Name == "" {
			f.At(path+".name", "a probe needs a name: objectives refer to it")
		} else if seen[p.Name] {
			f.At(path+".name", "%q stands here twice", p.Name)
		}
		seen[p.Name] = true
		for _, err := range each(c.target(p).Validate()) {
			f.At(path, "%v", err)
		}
	}
	c.checkClusters(f)
}

func (c *Config) checkObjectives(f *yamlFile) {
	for i, pattern := range c.Objectives.OpenSLO {
		files, err := filepath.Glob(c.path(pattern))
		if err != nil || len(files) == 0 {
			f.At(indexed("objectives.openslo", i), "no file matches %q; paths start at the configuration's directory", pattern)
		}
	}
	if len(f.faults) == 0 {
		objectives, err := c.loadObjectives()
		if err != nil {
			f.addAll("objectives.openslo", err)
		} else {
			c.checkEffective(f, objectives)
		}
	}
	for i, u := range c.Alerts.Alertmanagers {
		if !httpURL(u) {
			f.At(indexed("alerts.alertmanagers", i), "%q is no http(s) URL; write http://alertmanager:9093", u)
		}
	}
	for i, u := range c.Alerts.Webhooks {
		if !httpURL(u) {
			f.At(indexed("alerts.webhooks", i), "%q is no http(s) URL", u)
		}
	}
	if c.Objectives.MaxLag < 0 {
		f.At("objectives.max_lag", "%s is negative; 5m is the default", time.Duration(c.Objectives.MaxLag))
	}
	if c.Objectives.CloseAfter < 0 {
		f.At("objectives.close_after", "%s is negative; 3d is the default", time.Duration(c.Objectives.CloseAfter))
	}
	if c.Alerts.Interval < Duration(time.Second) {
		f.At("alerts.interval", "%s is too short; 1s at least", time.Duration(c.Alerts.Interval))
	}
}

func (c *Config) checkReports(f *yamlFile) {
	r := c.Reports
	if !slices.Contains([]string{"mandatory", "opportunistic", "implicit", "none"}, r.SMTP.TLS) {
		f.At("reports.smtp.tls", "%q is not mandatory, opportunistic, implicit or none", r.SMTP.TLS)
	}
	if len(r.Schedules) > 0 && r.SMTP.Host == "" {
		f.At("reports.smtp.host", "schedules need a mail server")
	}
	if r.From != "" || len(r.Schedules) > 0 {
		if _, err := mail.ParseAddress(r.From); err != nil {
			f.At("reports.from", "%q is no mail address", r.From)
		}
	}
	for i, s := range r.Schedules {
		path := indexed("reports.schedules", i)
		if s.Audience != "managers" && s.Audience != "consumers" {
			f.At(path+".audience", "%q is not managers or consumers", s.Audience)
		}
		if _, err := cron.ParseStandard(s.Cron); err != nil {
			f.At(path+".cron", "%q: %v; write e.g. \"0 7 * * 1\" for Mondays at 07:00", s.Cron, err)
		}
		if len(s.To) == 0 {
			f.At(path+".to", "a schedule needs recipients")
		}
		for j, to := range s.To {
			if _, err := mail.ParseAddress(to); err != nil {
				f.At(indexed(path+".to", j), "%q is no mail address", to)
			}
		}
	}
	for _, file := range []struct{ path, value string }{{"reports.dkim.key_file", r.DKIM.KeyFile}, {"server.tls_cert", c.Server.TLSCert}, {"server.tls_key", c.Server.TLSKey}} {
		if file.value == "" {
			continue
		}
		if _, err := os.Stat(c.path(file.value)); err != nil {
			f.At(file.path, "%v", err)
		}
	}
}

// target is a probe's target.
func (c *Config) target(p ProbeConfig) probe.Target {
	t := probe.Target{
		Name: p.Name, Kind: probe.KindHTTP, Address: p.URL, Interval: time.Duration(p.Interval), Timeout: time.Duration(p.Timeout),
		Slice: time.Duration(p.Slice), Status: p.ExpectStatus, BearerTokenFile: c.path(p.TokenFile), CAFile: c.path(p.CAFile),
		CertFile: c.path(p.CertFile), KeyFile: c.path(p.KeyFile),
	}
	if address, ok := strings.CutPrefix(p.URL, "tcp://"); ok {
		t.Kind, t.Address = probe.KindTCP, address
	} else if base, ok := strings.CutSuffix(p.URL, "/readyz"); ok {
		t.Kind, t.Address = probe.KindAPIServer, base
	}
	return t.WithDefaults()
}
