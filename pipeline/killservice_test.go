package pipeline_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/kubevalue/kubevalue/pipeline"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

// serviceEnv holds the serviceConfig of a process that is the service under test.
const serviceEnv = "KUBEVALUE_PIPELINETEST_SERVICE"

// soakTimeout bounds the attempts of services that take turns, one of which takes seconds on a slow disk; soakTurn is how long one that was
// killed in its turn holds up the others.
const soakTimeout = 20 * time.Second

var soakTurn = pipeline.TurnLength(soakTimeout)

type serviceConfig struct {
	Spool, DSN, Library string
	Command, Env        []string // of the engine, for a DSN embedded:DIR
}

// serve is the service: a pipeline in front of a warehouse. It reads commands from its standard input, one in a line, and
// answers each: a JSON batch with "ack N" once it is on disk, N being the line's number; "flush" when all is stored; "count" with
// the number of rows of each event.
func serve(text string) int {
	os.Unsetenv(serviceEnv) // the engine is this program too
	var sc serviceConfig
	if err := json.Unmarshal([]byte(text), &sc); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if err := sc.run(); err != nil {
		fmt.Fprintln(os.Stderr, "service:", err)
		return 1
	}
	return 0
}

func (sc serviceConfig) run() error {
	ctx := context.Background()
	db, err := warehouse.Open(ctx, warehouse.Options{DSN: sc.DSN, EngineCommand: sc.Command, EngineEnv: sc.Env, Library: sc.Library})
	if err != nil {
		return err
	}
	if _, err := db.Migrate(ctx); err != nil {
		return err
	}
	cfg := config(nopTB{}, db, sc.Spool)
	cfg.Interval, cfg.MaxRows = 20*time.Millisecond, 200
	if cfg.Lease = db.LocalLease(); cfg.Lease != "" {
		cfg.Exclusive = true
	} else {
		cfg.Timeout = soakTimeout
		cfg.Turn = db.Turn("store", soakTurn)
	}
	p, err := pipeline.New(cfg)
	if err != nil {
		return err
	}
	go func() { _ = p.Run(ctx) }()
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	say("ready")
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		number, command, _ := strings.Cut(lines.Text(), " ")
		switch command {
		case "flush":
			err = flushLoudly(ctx, p, say)
		case "count":
			err = sayCounts(ctx, db, say)
		default:
			var b schema.Batch
			if err = json.Unmarshal([]byte(command), &b); err == nil {
				go func() {
					if err := p.Append(ctx, b); err == nil {
						say("ack %s", number)
					} else {
						say("refused %s: %v", number, err)
					}
				}()
			}
		}
		if err != nil {
			return err
		}
	}
	return lines.Err()
}

// flushLoudly says "flushed" in the end, and "waiting N" every second until then, N being the batches that are left.
func flushLoudly(ctx context.Context, p *pipeline.Pipeline, say func(string, ...any)) error {
	done := make(chan error, 1)
	go func() { done <- p.Flush(ctx) }()
	for {
		select {
		case err := <-done:
			say("flushed")
			return err
		case <-time.After(time.Second):
			say("waiting %d", p.Stats().Records)
		}
	}
}

func sayCounts(ctx context.Context, db *warehouse.DB, say func(string, ...any)) error {
	for _, sql := range []string{
		"SELECT object, count(), uniqExact(id) FROM events GROUP BY object",
		"SELECT '/ids', count(), uniqExact(id_high, id_low) FROM event_ids", "SELECT '/quarantine', kind, base64Encode(reason) FROM quarantine",
	} {
		result, err := db.Query(ctx, sql, nil)
		if err != nil {
			return err
		}
		for _, row := range result.Rows {
			say("count %v %v %v", row...)
		}
	}
	say("counted")
	return nil
}
