package dashboards

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"
)

//go:embed assets/style.css assets/charts.js assets/favicon.svg assets/echarts/echarts.common.min.js
var assetFiles embed.FS

//go:embed openapi.json
var openAPI []byte

// asset is a file that pages load, kept compressed since all browsers take it so.
type asset struct {
	content, zipped []byte
	mime, digest    string
}

// assets are by name; pages ask for them with their digest, so that they may be kept for ever. They are compressed when the
// first one is asked for: other commands of the same binary need none.
var assets = sync.OnceValue(func() map[string]asset {
	return mustAssets(map[string]string{
		"style.css":   "assets/style.css",
		"charts.js":   "assets/charts.js",
		"favicon.svg": "assets/favicon.svg",
		"echarts.js":  "assets/echarts/echarts.common.min.js",
	})
})

var mimeTypes = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

func mustAssets(names map[string]string) map[string]asset {
	out := map[string]asset{}
	for name, file := range names {
		content, err := assetFiles.ReadFile(file)
		if err != nil {
			panic(fmt.Sprintf("the embedded file %s is missing: %v", file, err))
		}
		var zipped bytes.Buffer
		w := gzip.NewWriter(&zipped)
		_, _ = w.Write(content) // into memory: it cannot fail
		_ = w.Close()
		sum := sha256.Sum256(content)
		out[name] = asset{content: content, zipped: zipped.Bytes(), mime: mimeTypes[path.Ext(name)], digest: hex.EncodeToString(sum[:6])}
	}
	return out
}

// assetAddress is where pages load a file from.
func assetAddress(name string) string { return "/assets/" + name + "?" + assets()[name].digest }

func (s *server) asset(c *gin.Context) {
	a, ok := assets()[c.Param("name")]
	if !ok {
		s.fail(c, NotFoundError{What: "the file " + c.Param("name")})
		return
	}
	h := c.Writer.Header()
	h.Set("Cache-Control", "no-cache")
	if c.Request.URL.RawQuery == a.digest {
		h.Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	h.Set("ETag", `"`+a.digest+`"`)
	h.Set("Vary", "Accept-Encoding")
	if c.GetHeader("If-None-Match") == `"`+a.digest+`"` {
		c.Status(http.StatusNotModified)
		return
	}
	content := a.content
	if strings.Contains(c.GetHeader("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		content = a.zipped
	}
	c.Data(http.StatusOK, a.mime, content)
}
