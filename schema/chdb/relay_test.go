package chdb

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestLinesOfTheEngineAreRelayedAsTheyWereLogged(t *testing.T) {
	for _, c := range []struct{ name, line, want string }{
		{
			"a line of its own log", `time=2026-11-21T05:35:12.488Z level=INFO msg="engine is serving" data_dir=/data/a socket=/data/a/engine.sock version=26.7.2.1`,
			`time=2026-11-21T05:35:12.488Z level=INFO msg="engine is serving" part=engine data_dir=/data/a socket=/data/a/engine.sock version=26.7.2.1`,
		},
		{
			"with quotes inside", `time=2026-11-21T05:35:12Z level=ERROR msg=failed error="cannot open \"x y\": denied" n=3`,
			`time=2026-11-21T05:35:12.000Z level=ERROR msg=failed part=engine error="cannot open \"x y\": denied" n=3`,
		},
		{"below the level that is logged", `time=2026-11-21T05:35:12Z level=DEBUG msg=small`, ""},
		{"what the library prints", `Cannot set max size of core file to be 1073741824`, `level=INFO msg="engine printed" line="Cannot set max size of core file to be 1073741824"`},
		{"half a line", `time=2026-11-21T05:35:12Z level=INFO msg="cut of`, `msg="engine printed" line="time=2026-11-21T05:35:12Z level=INFO msg=\"cut of"`},
		{"pairs that are no log line", `a=1 b=2 c=3`, `msg="engine printed" line="a=1 b=2 c=3"`},
	} {
		var out bytes.Buffer
		relay(slog.New(slog.NewTextHandler(&out, nil)), c.line)
		got := strings.TrimSuffix(out.String(), "\n")
		if c.want == "" && got != "" || !strings.HasSuffix(got, c.want) {
			t.Errorf("%s: logged %s, want %s", c.name, got, c.want)
		}
	}
}
