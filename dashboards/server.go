// Package dashboards is the HTTP surface: the doors for collectors, the REST API, and the pages. What it shows comes from
// functions that the caller wires in; it computes nothing itself.
package dashboards

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/reports"
)

// Authorize lets a request read the API and the pages; the token is empty when there is none. An error refuses it.
type Authorize func(ctx context.Context, token string) error

// Health says what is wrong with the service's parts; an empty map means ready.
type Health func(ctx context.Context) map[string]string

// Door is a handler of a collector with the path that it is mounted on, e.g. "POST /v1/events". Doors authenticate for themselves.
type Door struct {
	Method, Path string
	Handler      http.Handler
}

// Config is what the server is made of.
type Config struct {
	Sources Sources
	Doors   []Door
	// Authorize guards the API and the pages; nil: everybody who reaches the listener may read (loopback only).
	Authorize Authorize
	Health    Health
	// Metrics serves the service's own metrics.
	Metrics http.Handler
	Logger  *slog.Logger
	Now     func() time.Time
	// Calendar is the reporting calendar; without a zone, weeks begin as those of the shown map do, or on Monday.
	Calendar journey.Calendar
	// MinGroup is the number of people below which figures about a group of people are withheld; 0 means reports.DefaultMinGroup.
	MinGroup int
	// UserHeader is the request header in which a proxy in front passes on who has signed in, e.g. X-Forwarded-User; empty: none.
	UserHeader string
}

// New is the handler of the whole service.
func New(cfg Config) http.Handler {
	if cfg.MinGroup == 0 {
		cfg.MinGroup = reports.DefaultMinGroup
	}
	s := &server{cfg: cfg}
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.HandleMethodNotAllowed = true
	router.ContextWithFallback = true // a source stops when its client goes away
	router.Use(gin.CustomRecoveryWithWriter(nil, func(c *gin.Context, reason any) {
		cfg.Logger.ErrorContext(c, "request handler panicked", "path", c.FullPath(), "reason", reason)
		s.problem(c, http.StatusInternalServerError, "internal", "an internal error; it is in the service's log")
	}))
	for _, d := range cfg.Doors {
		router.Handle(d.Method, d.Path, gin.WrapH(d.Handler))
	}
	router.GET("/healthz", func(c *gin.Context) { c.String(http.StatusOK, "ok\n") })
	router.GET("/readyz", s.ready)
	read := router.Group("/", s.authorize, secure)
	read.GET("/metrics", gin.WrapH(cfg.Metrics))
	s.api(read.Group("/api/v1"))
	s.pages(read)
	router.NoRoute(secure, func(c *gin.Context) {
		s.problem(c, http.StatusNotFound, "not_found", "there is nothing at this address; the journey map is at /, the API at /api/v1")
	})
	router.NoMethod(secure, func(c *gin.Context) {
		s.problem(c, http.StatusMethodNotAllowed, "method_not_allowed", "this address does not take "+c.Request.Method)
	})
	return router
}

type server struct{ cfg Config }

// authorize takes the token as a bearer token, or as the password of basic authentication, which browsers can send.
func (s *server) authorize(c *gin.Context) {
	if s.cfg.Authorize == nil {
		return
	}
	token, ok := strings.CutPrefix(c.GetHeader("Authorization"), "Bearer ")
	if !ok {
		_, token, _ = c.Request.BasicAuth()
	}
	if err := s.cfg.Authorize(c.Request.Context(), token); err != nil {
		c.Header("WWW-Authenticate", `Basic realm="kubevalue", charset="UTF-8"`)
		s.problem(c, http.StatusUnauthorized, "unauthorized", "a token for the endpoint api is wanted, as bearer token or as password: `kubevalue token create --endpoint api`")
	}
}

// secure sets the headers that keep pages from loading or being loaded from elsewhere.
func secure(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

func (s *server) ready(c *gin.Context) {
	faults := s.cfg.Health(c.Request.Context())
	if len(faults) == 0 {
		c.String(http.StatusOK, "ok\n")
		return
	}
	parts := slices.Sorted(maps.Keys(faults))
	c.JSON(http.StatusServiceUnavailable, gin.H{"status": "error", "code": "not_ready", "message": "not ready: " + strings.Join(parts, ", "), "faults": faults})
}

// problem ends a request with an error for machines (code) and people (message): a page where a browser asks, or for a page that is asked
// for without a wish for JSON, and JSON for all others.
func (s *server) problem(c *gin.Context, status int, code, message string) {
	accept := c.GetHeader("Accept")
	if strings.Contains(accept, "text/html") || isPage(c.FullPath()) && !strings.Contains(accept, "json") {
		c.Abort()
		s.renderStatus(c, status, "problem.html", frame{Title: http.StatusText(status), Content: message})
		return
	}
	c.AbortWithStatusJSON(status, gin.H{"status": "error", "code": code, "message": message})
}

// isPage says whether a route is one of those that answer with a page.
func isPage(route string) bool {
	switch route {
	case "/", "/metric/:id", "/objectives", "/objectives/:name", "/adoption", "/fleet":
		return true
	}
	return false
}

// fail turns an error of a source into an answer.
func (s *server) fail(c *gin.Context, err error) {
	var missing NotFoundError
	var bad BadRequestError
	switch {
	case errors.As(err, &missing):
		s.problem(c, http.StatusNotFound, "not_found", missing.Error())
	case errors.As(err, &bad):
		s.problem(c, http.StatusBadRequest, "bad_request", bad.Error())
	case errors.Is(err, context.DeadlineExceeded):
		s.problem(c, http.StatusGatewayTimeout, "timeout", "the warehouse took too long; ask for a shorter period")
	default:
		s.cfg.Logger.ErrorContext(c, "request failed", "path", c.FullPath(), "error", err)
		s.problem(c, http.StatusServiceUnavailable, "unavailable", "the figures cannot be computed now; the service's log says why")
	}
}

// NotFoundError says that the thing asked for does not exist.
type NotFoundError struct {
	What string
	// Hint is what to do instead, from its separator on; it may be empty.
	Hint string
}

func (e NotFoundError) Error() string { return e.What + " does not exist" + e.Hint }

// BadRequestError says what is wrong with a question.
type BadRequestError struct{ Why string }

func (e BadRequestError) Error() string { return e.Why }
