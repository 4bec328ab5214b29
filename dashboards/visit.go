package dashboards

import (
	"net/http"
	"regexp"

	"github.com/gin-gonic/gin"
)

// machines are programs that fetch pages without anybody looking at them.
var machines = regexp.MustCompile(`(?i)bot|crawl|spider|slurp|monitor|probe|prometheus|curl|wget|python|java/|go-http-client|headless|preview|lighthouse`)

// visited reports that a page was looked at, unless a machine fetched it, or a browser that guessed that somebody may want it.
func (s *server) visited(c *gin.Context, page string) {
	agent := c.Request.UserAgent()
	if s.cfg.Sources.Visit == nil || c.Request.Method != http.MethodGet || agent == "" || machines.MatchString(agent) {
		return
	}
	if c.GetHeader("Sec-Purpose") != "" || c.GetHeader("Purpose") == "prefetch" {
		return
	}
	user, _, _ := c.Request.BasicAuth()
	if s.cfg.UserHeader != "" {
		if name := c.GetHeader(s.cfg.UserHeader); name != "" {
			user = name
		}
	}
	s.cfg.Sources.Visit(c.Request.Context(), Visit{Page: page, Role: s.role(c), User: user})
}

// roleCookie keeps the perspective that a visitor chose to look from.
const roleCookie = "kubevalue_perspective"

// identifier is what ids of perspectives and entities look like; anything else is not kept.
var identifier = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,39}$`)

// role is the perspective that the visitor chose, now or before.
func (s *server) role(c *gin.Context) string {
	if chosen, ok := c.GetQuery("for"); ok {
		if identifier.MatchString(chosen) {
			return chosen
		}
		return ""
	}
	kept, err := c.Cookie(roleCookie)
	if err != nil || !identifier.MatchString(kept) {
		return ""
	}
	return kept
}

// remember keeps the choice of a perspective, or of all of them, for a year.
func (s *server) remember(c *gin.Context) {
	chosen, ok := c.GetQuery("for")
	if !ok || (chosen != "" && !identifier.MatchString(chosen)) {
		return
	}
	age := 365 * 24 * 3600
	if chosen == "" {
		age = -1
	}
	http.SetCookie(c.Writer, &http.Cookie{
		Name: roleCookie, Value: chosen, Path: "/", MaxAge: age, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: c.Request.TLS != nil,
	})
}
