package chdb

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// relay logs a line of the engine. What the engine logged itself keeps its level, message and attributes, so that it can be searched
// like all else; what libchdb prints is a message's attribute.
func relay(logger *slog.Logger, line string) {
	r, ok := record(line)
	if !ok {
		logger.Info("engine printed", "line", line)
		return
	}
	if ctx := context.Background(); logger.Enabled(ctx, r.Level) {
		_ = logger.Handler().Handle(ctx, r) // as logger itself does: there is nobody to tell
	}
}

// record reads a line that slog's text handler wrote; false: it is none.
func record(line string) (slog.Record, bool) {
	var none slog.Record
	var pairs [][2]string
	for rest := line; rest != ""; {
		key, after, ok := strings.Cut(rest, "=")
		if !ok || key == "" || strings.ContainsAny(key, " \"") {
			return none, false
		}
		value, left, _ := strings.Cut(after, " ")
		if strings.HasPrefix(after, `"`) {
			quoted, err := strconv.QuotedPrefix(after)
			if err != nil {
				return none, false
			}
			if value, err = strconv.Unquote(quoted); err != nil {
				return none, false
			}
			left = strings.TrimPrefix(after[len(quoted):], " ")
		}
		pairs = append(pairs, [2]string{key, value})
		rest = left
	}
	if len(pairs) < 3 || pairs[0][0] != slog.TimeKey || pairs[1][0] != slog.LevelKey || pairs[2][0] != slog.MessageKey {
		return none, false
	}
	at, err := time.Parse(time.RFC3339Nano, pairs[0][1])
	var level slog.Level
	if err != nil || level.UnmarshalText([]byte(pairs[1][1])) != nil {
		return none, false
	}
	r := slog.NewRecord(at, level, pairs[2][1], 0)
	r.AddAttrs(slog.String("part", "engine"))
	for _, p := range pairs[3:] {
		r.AddAttrs(slog.String(p[0], p[1]))
	}
	return r, true
}
