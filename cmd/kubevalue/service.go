package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	oklog "github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	promcollectors "github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/collectors/probe"
	"github.com/kubevalue/kubevalue/collectors/remotewrite"
	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/pipeline"
	"github.com/kubevalue/kubevalue/pipeline/identity"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

func serveCommand() *cobra.Command {
	var verbose bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the service: collectors, pipeline, SLO engine, reports, pages and alerts",
		Long: `Runs everything that the configuration names until it is told to stop (SIGINT, SIGTERM); what was acknowledged is on disk, and is in the
warehouse after the next start at the latest.

On loopback the pages and the API are open; anywhere else reading needs a token for the endpoint api, and writing needs one always.`,
		Args: cobra.NoArgs,
	}
	path := configFlag(cmd)
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "log debugging details")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := loadConfig(*path)
		if err != nil {
			return err
		}
		s, err := newService(cmd.Context(), cfg, time.Now, logger(cmd.ErrOrStderr(), verbose))
		if err != nil {
			return err
		}
		boundGarbage()
		return s.run(cmd.Context())
	}
	return cmd
}

// garbagePercent is how much garbage may lie beside what is in use before it is collected. At full rate an event leaves so little that
// collecting it five times as often as usual costs little, and saves more memory than anything else would.
const garbagePercent = 20

// boundGarbage sets garbagePercent unless the environment has its own.
func boundGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}

// service is the whole program, wired together.
type service struct {
	cfg      *Config
	log      *slog.Logger
	now      func() time.Time
	registry *prometheus.Registry
	tokens   *collectors.TokenStore
	db       *warehouse.DB
	pipe     *pipeline.Pipeline
	owners   *identity.Owners
	figures  *figures
	// restate wakes the publisher: closed periods may have other figures now.
	restate chan struct{}
	// stored is closed when what an earlier service left in the spool is in the warehouse.
	stored chan struct{}
	// backlog is what alerts know of the spool.
	backlog backlog
	// written counts what Prometheus servers send.
	written  *remotewrite.Receiver
	listener net.Listener
}

// newService opens what the configuration names and listens; nothing runs before run.
func newService(ctx context.Context, cfg *Config, now func() time.Time, log *slog.Logger) (_ *service, err error) {
	s := &service{cfg: cfg, log: log, now: now, registry: prometheus.NewRegistry(), restate: make(chan struct{}, 1), stored: make(chan struct{})}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	s.registry.MustRegister(promcollectors.NewGoCollector(), promcollectors.NewProcessCollector(promcollectors.ProcessCollectorOpts{}))
	if s.tokens, err = openTokens(cfg); err != nil {
		return nil, err
	}
	if s.db, err = openWarehouse(ctx, cfg, log, false); err != nil {
		return nil, err
	}
	applied, err := s.db.Migrate(ctx)
	if err != nil {
		return nil, err
	}
	if len(applied) > 0 {
		log.InfoContext(ctx, "tables brought up to date", "migrations", len(applied))
	}
	if err = applyRetention(ctx, cfg, s.db); err != nil {
		return nil, err
	}
	if s.pipe, err = openPipeline(ctx, cfg, s.db, pipelineParts{dir: cfg.path(cfg.Spool.Dir), log: log, now: s.now, registry: s.registry}); err != nil {
		return nil, err
	}
	if err = keepQuestions(ctx, s.db, cfg.surveys(), s.now().UTC()); err != nil {
		return nil, err
	}
	s.owners = identity.NewOwners(cfg.ownerRules())
	if err = learnCreators(ctx, s.db, s.owners); err != nil {
		return nil, err
	}
	if s.figures, err = newFigures(cfg, s.db, s.now); err != nil {
		return nil, err
	}
	for _, warning := range cfg.told() {
		log.WarnContext(ctx, "the configuration may be meant otherwise", "warning", warning)
	}
	s.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", cfg.Server.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w; is another kubevalue running?", cfg.Server.Listen, err)
	}
	return s, nil
}

func (s *service) close() {
	if s.listener != nil {
		_ = s.listener.Close()
	}
	if s.pipe != nil {
		_ = s.pipe.Close()
	}
	if s.db != nil {
		if err := s.db.Close(); err != nil {
			s.log.Error("the warehouse did not close cleanly", "error", err)
		}
	}
}

// url is where the service listens.
func (s *service) url() string {
	scheme := "http"
	if s.cfg.Server.TLSCert != "" {
		scheme = "https"
	}
	return scheme + "://" + s.listener.Addr().String()
}

// run runs all parts until ctx ends or one of them fails, and then stops them in order: first who takes records in, last who stores them.
func (s *service) run(ctx context.Context) error {
	defer s.close()
	var g oklog.Group
	background := func(name string, f func(context.Context) error) {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		g.Add(func() error {
			if err := f(ctx); err != nil && !errors.Is(err, context.Canceled) {
				if ctx.Err() != nil { // what failed first, or was told, is why all ends: nobody else would hear of this
					s.log.Error("a part of the service did not end well", "part", name, "error", err)
				}
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		}, func(error) { cancel() })
	}
	stopped, cancel := context.WithCancel(ctx)
	g.Add(func() error { <-stopped.Done(); return nil }, func(error) { cancel() })

	if err := s.addServer(&g); err != nil {
		return err
	}
	probes, err := s.probes()
	if err != nil {
		return err
	}
	queries, err := s.promQueries()
	if err != nil {
		return err
	}
	watches, err := s.kubeCollector()
	if err != nil {
		return err
	}
	scrapes, err := s.scrapes(watches.Targets)
	if err != nil {
		return err
	}
	s.figures.watches = watches.Status
	s.figures.tries = func() []dashboards.Target { return tried(scrapes.Status(), probes.Status(), queries.Status()) }
	background("probes", probes.Run)
	background("queries of Prometheus servers", queries.Run)
	background("scrapes", scrapes.Run)
	background("remote write", s.written.Run)
	if len(s.cfg.kubeClusters()) > 0 {
		background("cluster watches", watches.Run)
	}
	background("creators of namespaces", s.learnCreators)
	background("resources without a price", s.warnUnpriced)
	background("pipeline", s.pipe.Run)
	background("what an earlier service left in the spool", s.storeLeftover)
	background("each event once", s.checkingOnce)
	background("alerts", s.alerting())
	background("closed periods", s.publishing)
	background("published metrics", s.publishingMetrics)
	scheduler, err := s.scheduler()
	if err != nil {
		return err
	}
	if scheduler != nil {
		background("report schedule", scheduler.Run)
	}
	s.log.InfoContext(ctx, "listening", "address", s.url(), "warehouse", s.db.String())
	err = g.Run()
	s.log.InfoContext(ctx, "stopped")
	return err
}

// Limits of the server: a slow or endless request ends by itself.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = time.Minute
	writeTimeout      = 2 * time.Minute
	idleTimeout       = 2 * time.Minute
	stopTimeout       = 10 * time.Second
)

func (s *service) addServer(g *oklog.Group) error {
	doors, err := s.doors()
	if err != nil {
		return err
	}
	handler := dashboards.New(dashboards.Config{
		Sources: s.sources(), Doors: doors, Authorize: s.authorize(), Health: s.health,
		Metrics: promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{Registry: s.registry}), Logger: s.log, Now: s.now,
		Calendar: s.figures.calendar, MinGroup: s.cfg.Organisation.SmallGroup,
	})
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	g.Add(func() error {
		var err error
		if s.cfg.Server.TLSCert != "" {
			err = server.ServeTLS(s.listener, s.cfg.path(s.cfg.Server.TLSCert), s.cfg.path(s.cfg.Server.TLSKey))
		} else {
			err = server.Serve(s.listener)
		}
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return fmt.Errorf("serve: %w", err)
	}, func(error) {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		_ = server.Shutdown(ctx)
	})
	return nil
}

// authorize guards reading everywhere but on loopback.
func (s *service) authorize() dashboards.Authorize {
	if loopback(s.cfg.Server.Listen) {
		return nil
	}
	return func(ctx context.Context, token string) error {
		_, err := s.tokens.Authenticate(ctx, token, collectors.EndpointAPI)
		return err
	}
}

// health says which parts are not well.
func (s *service) health(ctx context.Context) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	faults := map[string]string{}
	if err := s.db.Ping(ctx); err != nil {
		faults["warehouse"] = err.Error()
	}
	return faults
}

// probes tries the configured targets.
func (s *service) probes() (*probe.Collector, error) {
	var targets []probe.Target
	for _, p := range s.cfg.Probes {
		targets = append(targets, s.cfg.target(p))
	}
	return probe.New(probe.Config{Targets: targets, Sink: s.pipe, Now: s.now, Logger: s.log, Registerer: s.registry})
}

// stateFile is where a part of the service keeps what must survive a restart: beside the spool.
func (c *Config) stateFile(name string) string {
	return filepath.Join(filepath.Dir(c.path(c.Spool.Dir)), name)
}
