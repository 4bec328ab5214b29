package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/collectors/audit"
	"github.com/kubevalue/kubevalue/collectors/promquery"
	"github.com/kubevalue/kubevalue/collectors/scrape"
	"github.com/kubevalue/kubevalue/collectors/usage"
	"github.com/kubevalue/kubevalue/slo/openslo"
)

// Config is the one YAML file that a service is run from. Durations are written like 30s, 5m, 12h or 30d; sizes like 512MiB.
type Config struct {
	Organisation Organisation       `yaml:"organisation"`
	Server       ServerConfig       `yaml:"server"`
	Warehouse    WarehouseConfig    `yaml:"warehouse"`
	Spool        SpoolConfig        `yaml:"spool"`
	Retention    RetentionConfig    `yaml:"retention"`
	Identity     IdentityConfig     `yaml:"identity"`
	Roster       []TeamConfig       `yaml:"roster"`
	RosterFiles  []string           `yaml:"roster_files"`
	Owners       OwnersConfig       `yaml:"owners"`
	Capabilities []CapabilityConfig `yaml:"capabilities"`
	Clusters     []ClusterConfig    `yaml:"clusters"`
	Probes       []ProbeConfig      `yaml:"probes"`
	Prometheus   []PrometheusConfig `yaml:"prometheus"`
	Scrapes      []ScrapeConfig     `yaml:"scrapes"`
	Objectives   ObjectivesConfig   `yaml:"objectives"`
	Alerts       AlertsConfig       `yaml:"alerts"`
	Journey      JourneyConfig      `yaml:"journey"`
	Reports      ReportsConfig      `yaml:"reports"`
	Exclusions   []ExclusionConfig  `yaml:"exclusions"`
	Incidents    IncidentsConfig    `yaml:"incidents"`
	Prices       []PriceConfig      `yaml:"prices"`
	Feedback     FeedbackConfig     `yaml:"feedback"`
	Costs        CostsConfig        `yaml:"costs"`
	// Drift are the fields by which clusters are compared.
	Drift []DriftConfig `yaml:"drift"`

	zone *time.Location
	dir  string // of the file: relative paths in it start there
	// warnings are what the OpenSLO importer has to say of documents that it understood.
	warnings openslo.Findings
	// doubts are about values that are right by themselves and may be meant otherwise.
	doubts Faults
	// promIndicators are what the objectives ask Prometheus servers for.
	promIndicators []promquery.Indicator
	// scrapeIndicators are what they count by the counters of scraped targets.
	scrapeIndicators []scrape.Indicator
	// writtenIndicators are what they count by the counters that Prometheus servers send.
	writtenIndicators []scrape.Indicator
	// documentServers are the URLs of Prometheus servers that only OpenSLO documents name.
	documentServers map[string]string
	// components are the owning teams of a catalog's components, by the value of their label.
	components map[string]string
}

// Organisation is who the figures are for, and how it counts time.
type Organisation struct {
	Name      string `yaml:"name"`
	Timezone  string `yaml:"timezone"`
	WeekStart string `yaml:"week_start"`
	// SmallGroup is the number of people below which figures about a group are suppressed.
	SmallGroup int `yaml:"small_group"`
}

// ServerConfig is where the service listens.
type ServerConfig struct {
	Listen string `yaml:"listen"`
	// BaseURL is how people reach the pages; links in mails start with it.
	BaseURL string `yaml:"base_url"`
	// TLSCert and TLSKey are PEM files; without them the service speaks plain HTTP, which is refused beyond loopback unless
	// PlainHTTP says that something in front of it speaks TLS.
	TLSCert   string `yaml:"tls_cert"`
	TLSKey    string `yaml:"tls_key"`
	PlainHTTP bool   `yaml:"plain_http"`
	// Tokens is the file of hashed tokens, made by `kubevalue token create`.
	Tokens string `yaml:"tokens"`
	// Rate bounds the events per second that all tokens together may send; 0: no limit.
	Rate float64 `yaml:"rate"`
	// MaxBody bounds the bodies that collectors take, as they come over the wire; larger ones are answered by 413.
	MaxBody Size `yaml:"max_body"`
}

// WarehouseConfig is where the tables are.
type WarehouseConfig struct {
	DSN string `yaml:"dsn"`
	// Library is the path of libchdb for an embedded warehouse; empty: it is searched for.
	Library string `yaml:"library"`
}

// SpoolConfig bounds what waits on disk for the warehouse.
type SpoolConfig struct {
	Dir         string   `yaml:"dir"`
	MaxBytes    Size     `yaml:"max_bytes"`
	MaxLateness Duration `yaml:"max_lateness"`
	// Attributes are the event attributes that are kept; all others are dropped at receipt. Without the key: those of the
	// deployment event, and kind.
	Attributes []string `yaml:"attributes"`
}

// IdentityConfig says how names become actors.
type IdentityConfig struct {
	// KeyFile holds the secret that pseudonyms are made with, a line "VERSION HEX" per key, newest first; made when missing.
	KeyFile string `yaml:"key_file"`
	// Machines are regular expressions of user names that look human and are not, e.g. "^ci-".
	Machines []string `yaml:"machines"`
	// Shared are regular expressions of accounts that several people use: their actor is unknown.
	Shared []string `yaml:"shared"`
	// Prefixes are stripped from user names, e.g. "oidc:".
	Prefixes []string `yaml:"prefixes"`
	// Same maps further names of a person to the main one.
	Same map[string]string `yaml:"same"`
	// Ignore are users whose audit events are left out: names, or the beginnings of names in front of a final *. kubevalue's own
	// account belongs here.
	Ignore []string `yaml:"ignore"`
}

// TeamConfig is a team of the roster.
type TeamConfig struct {
	Team    string   `yaml:"team"`
	Members []string `yaml:"members"`
	// From and To bound the entry, half-open: a date (its first instant in the reporting zone) or a time.
	From      string `yaml:"from"`
	To        string `yaml:"to"`
	Voluntary *bool  `yaml:"voluntary"`
	Persona   string `yaml:"persona"`
}

// ClusterConfig is a cluster.
type ClusterConfig struct {
	Name string `yaml:"name"`
	// Region is where it runs.
	Region string `yaml:"region"`
	// Kubeconfig and Context find it; Kubeconfig empty: the cluster is known by its audit events only.
	Kubeconfig string `yaml:"kubeconfig"`
	Context    string `yaml:"context"`
	// InCluster uses the service account of the pod that this runs in, instead of a kubeconfig.
	InCluster bool `yaml:"in_cluster"`
	// AllowExec lists the commands of exec plugins that the kubeconfig may run; all others are refused.
	AllowExec []string `yaml:"allow_exec"`
	// Kinds are the kinds of objects to watch, e.g. Deployment, beside Namespace; empty: all that the cluster serves.
	Kinds []string `yaml:"kinds"`
}

// ProbeConfig is one probed target.
type ProbeConfig struct {
	Name string `yaml:"name"`
	// URL is http(s)://… or tcp://host:port; a path of /readyz is an API server's readiness.
	URL      string   `yaml:"url"`
	Interval Duration `yaml:"interval"`
	Timeout  Duration `yaml:"timeout"`
	// Slice is the length of the slices that results are counted in.
	Slice        Duration `yaml:"slice"`
	ExpectStatus []int    `yaml:"expect_status"`
	CAFile       string   `yaml:"ca_file"`
	CertFile     string   `yaml:"cert_file"`
	KeyFile      string   `yaml:"key_file"`
	TokenFile    string   `yaml:"token_file"`
}

// ObjectivesConfig is where objectives are defined.
type ObjectivesConfig struct {
	// OpenSLO are files or globs of OpenSLO v1 documents.
	OpenSLO []string `yaml:"openslo"`
	// Strict refuses what the importer would otherwise warn of.
	Strict bool `yaml:"strict"`
	// MaxLag is how late a slice may come before it is a gap.
	MaxLag Duration `yaml:"max_lag"`
	// CloseAfter is how long after its end a calendar period takes late data; then its figures are published.
	CloseAfter Duration `yaml:"close_after"`
	// Effective says since when definitions are in force that were agreed on earlier than they were written.
	Effective []EffectiveConfig `yaml:"effective"`
}

// AlertsConfig is who hears of burnt budgets.
type AlertsConfig struct {
	Alertmanagers []string `yaml:"alertmanagers"`
	Webhooks      []string `yaml:"webhooks"`
	Interval      Duration `yaml:"interval"`
}

// JourneyConfig is what counts as use.
type JourneyConfig struct {
	// Map is the file of the customer journey value map; empty: the built-in one.
	Map string `yaml:"map"`
	// Metrics are files or globs of further catalogue metrics.
	Metrics []string `yaml:"metrics"`
	// ValueEvents are the names of events that mean that somebody got value; empty: the built-in list.
	ValueEvents []string `yaml:"value_events"`
}

// ReportsConfig is which reports go to whom.
type ReportsConfig struct {
	From string     `yaml:"from"`
	SMTP SMTPConfig `yaml:"smtp"`
	// DKIM signs what is sent, when a key is given.
	DKIM      DKIMConfig       `yaml:"dkim"`
	Schedules []ScheduleConfig `yaml:"schedules"`
	// Unsubscribe is the address or URL that List-Unsubscribe names.
	Unsubscribe string `yaml:"unsubscribe"`
}

// SMTPConfig is the mail server.
type SMTPConfig struct {
	Host     string `yaml:"host"`
	Port     int    `yaml:"port"`
	Username string `yaml:"username"`
	Password string `yaml:"password"`
	// TLS is mandatory (STARTTLS or no mail), opportunistic, implicit, or none (in the clear, without a password).
	TLS    string `yaml:"tls"`
	CAFile string `yaml:"ca_file"`
}

// DKIMConfig is the signing key of a domain.
type DKIMConfig struct {
	Domain   string `yaml:"domain"`
	Selector string `yaml:"selector"`
	KeyFile  string `yaml:"key_file"`
}

// ScheduleConfig is one report that goes out by itself.
type ScheduleConfig struct {
	Audience string `yaml:"audience"`
	// Cron is minute, hour, day of month, month, day of week in the reporting zone.
	Cron string   `yaml:"cron"`
	To   []string `yaml:"to"`
}

// Duration is a length of time in a configuration: Go's form, and d for 24 hours.
type Duration time.Duration

var days = regexp.MustCompile(`^(\d+)d$`)

// UnmarshalText reads 30s, 5m, 12h or 30d.
func (d *Duration) UnmarshalText(b []byte) error {
	if m := days.FindStringSubmatch(string(b)); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil || n > 36500 {
			return fmt.Errorf("%q is too long a duration", b)
		}
		*d = Duration(time.Duration(n) * 24 * time.Hour)
		return nil
	}
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is not a duration; write 30s, 5m, 12h or 30d", b)
	}
	*d = Duration(v)
	return nil
}

// Size is a number of bytes.
type Size int64

var sizes = regexp.MustCompile(`^(\d+)\s*(B|KiB|MiB|GiB|TiB)?$`)

// UnmarshalText reads 1048576, 512KiB, 64MiB or 10GiB.
func (s *Size) UnmarshalText(b []byte) error {
	m := sizes.FindStringSubmatch(string(b))
	if m == nil {
		return fmt.Errorf("%q is not a size; write 512KiB, 64MiB or 10GiB", b)
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	shift := map[string]uint{"": 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}[m[2]]
	if err != nil || n > (1<<62)>>shift {
		return fmt.Errorf("%q is too large a size", b)
	}
	*s = Size(n << shift)
	return nil
}

// defaults are what a configuration that says nothing means.
func defaults() Config {
	return Config{
		Organisation: Organisation{Name: "our organisation", Timezone: "UTC", WeekStart: "monday", SmallGroup: 5},
		Server:       ServerConfig{Listen: "127.0.0.1:8420", Tokens: "data/tokens.json", MaxBody: 20 << 20},
		Warehouse:    WarehouseConfig{DSN: "embedded:data/warehouse"},
		Spool:        SpoolConfig{Dir: "data/spool", MaxBytes: 4 << 30, MaxLateness: Duration(30 * 24 * time.Hour), Attributes: defaultAttributes()},
		Retention:    RetentionConfig{Quarantine: Duration(defaultQuarantineDays * 24 * time.Hour)},
		Identity:     IdentityConfig{KeyFile: "data/identity.key"},
		Objectives:   ObjectivesConfig{MaxLag: Duration(5 * time.Minute), CloseAfter: Duration(defaultCloseAfter)},
		Alerts:       AlertsConfig{Interval: Duration(30 * time.Second)},
		Reports:      ReportsConfig{SMTP: SMTPConfig{Port: 587, TLS: "mandatory"}},
	}
}

// defaultAttributes are what the built-in metrics read: which change a deployment event brought where, what kind of thing
// an event was about, the ten numbers of an answer to the usability scale, and that an API is deprecated. None of them is free text.
func defaultAttributes() []string {
	return []string{usage.AttributeCommit, usage.AttributeCommitTime, usage.AttributeEnvironment, "kind", "items", audit.AttributeDeprecated}
}

// loadConfig reads and checks a file; the error lists every fault with its place.
func loadConfig(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no configuration at %s; name one with --config, or print a commented example with `kubevalue check --example`", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	cfg := defaults()
	f := decodeFile(path, data, &cfg)
	cfg.dir = filepath.Dir(path)
	if f.root != nil {
		cfg.check(f)
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	return &cfg, nil
}

// path makes a path of the configuration absolute: relative ones start at the file's directory.
func (c *Config) path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.dir, p)
}

// dsn is the warehouse's DSN with the embedded directory made absolute.
func (c *Config) dsn() string {
	if dir, ok := strings.CutPrefix(c.Warehouse.DSN, "embedded:"); ok {
		return "embedded:" + c.path(dir)
	}
	return c.Warehouse.DSN
}

// instant reads a date, as its first instant in the reporting zone, or an RFC 3339 time; empty is the zero time.
func (c *Config) instant(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, s, c.zone); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither a date (2026-01-31) nor a time (2026-01-31T08:00:00Z)", s)
	}
	return t, nil
}

func asError[T error](err error, target *T) bool { return errors.As(err, target) }
