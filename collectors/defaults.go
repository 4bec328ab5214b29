package collectors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Clock is the clock of a collector's configuration, time.Now where it has none.
func Clock(now func() time.Time) func() time.Time {
	if now == nil {
		return time.Now
	}
	return now
}

// Logger is the logger of a collector's configuration, one that nobody reads where it has none.
func Logger(logger *slog.Logger) *slog.Logger {
	if logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return logger
}

// Register registers the metrics of a collector; without a registerer nobody reads them. The error names the collector.
func Register(with prometheus.Registerer, collector string, metrics ...prometheus.Collector) error {
	if with == nil {
		return nil
	}
	var faults []error
	for _, m := range metrics {
		faults = append(faults, with.Register(m))
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("%s: register metrics: %w", collector, err)
	}
	return nil
}

// Sleep waits for a time, or until the context ends; false: it has ended.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
