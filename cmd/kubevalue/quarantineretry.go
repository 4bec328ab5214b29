package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/pipeline"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

func quarantineRetryCommand() *cobra.Command {
	var s selection
	cmd := &cobra.Command{
		Use:   "retry [ID…]",
		Short: "Store held records after all, once what was wrong has been mended",
		Long: `Takes records through the pipeline again, by the configuration as it is now: an event that was too late, say, after spool.max_lateness was raised.
What is stored counts once, however often it is retried, also when its sender has sent it again meanwhile. What is refused again stays held, and is
listed with the reason; the exit code is 1 then. Messages that could never be made into an event, and damaged bytes of the spool, cannot be retried.

A retry is your decision: it is not bound by what the sender's token may do.`,
		Example: `  kubevalue quarantine retry 5f3a91
  kubevalue quarantine retry --kind event --source web`,
	}
	return s.deciding(cmd, func(cfg *Config, db *warehouse.DB, ids []string) error {
		r := retry{db: db, out: cmd.OutOrStdout()}
		var stored []schema.Quarantined
		_, err := storing(cmd, cfg, db, func(sink *pipeline.Pipeline) error {
			return s.each(cmd.Context(), db, ids, func(rows []schema.Quarantined) error {
				taken, err := r.hand(cmd.Context(), sink, rows)
				stored = append(stored, taken...)
				return err
			})
		})
		if err != nil {
			return err
		}
		// All is in the tables. A crash before this leaves them held, and another retry changes nothing.
		if err := db.DecideQuarantine(cmd.Context(), stored, schema.QuarantineRetried); err != nil {
			return err
		}
		sayRecords(cmd.OutOrStdout(), len(stored), "stored")
		if r.refused > 0 {
			sayRecords(cmd.OutOrStdout(), r.refused, "still held")
			return exitError{1}
		}
		return nil
	})
}

// retry hands quarantined records to a pipeline.
type retry struct {
	db      *warehouse.DB
	out     io.Writer
	refused int
}

// hand appends what can be stored now, and returns it.
func (r *retry) hand(ctx context.Context, sink collectors.Sink, rows []schema.Quarantined) ([]schema.Quarantined, error) {
	rows, faults := r.pick(rows)
	for {
		var b schema.Batch
		index := map[string][]int{} // of a kind's records, the rows
		for i, row := range rows {
			kind, err := add(&b, row)
			if err != nil {
				return nil, err // pick has read it
			}
			index[kind] = append(index[kind], i)
		}
		err := sink.Append(ctx, b)
		var refused *collectors.BatchError
		if err == nil {
			break
		}
		if !errors.As(err, &refused) {
			return nil, err
		}
		for _, record := range refused.Records {
			faults = append(faults, fault{rows[index[record.Kind][record.Index]], record.Err})
		}
		rows = without(rows, faults)
	}
	for _, f := range faults {
		fmt.Fprintf(r.out, "%s: %v\n", f.row.ID, f.why)
	}
	r.refused += len(faults)
	return rows, nil
}

// fault is a record that stays held.
type fault struct {
	row schema.Quarantined
	why error
}

// pick leaves out what can never be retried.
func (r *retry) pick(rows []schema.Quarantined) (good []schema.Quarantined, faults []fault) {
	for _, row := range rows {
		if _, err := add(&schema.Batch{}, row); err != nil {
			faults = append(faults, fault{row, err})
			continue
		}
		good = append(good, row)
	}
	return good, faults
}

func without(rows []schema.Quarantined, faults []fault) []schema.Quarantined {
	bad := map[string]bool{}
	for _, f := range faults {
		bad[f.row.ID.String()] = true
	}
	var good []schema.Quarantined
	for _, row := range rows {
		if !bad[row.ID.String()] {
			good = append(good, row)
		}
	}
	return good
}

// add reads a record into a batch.
func add(b *schema.Batch, row schema.Quarantined) (kind string, err error) {
	switch row.Kind {
	case "event":
		var e schema.Event
		if err = json.Unmarshal([]byte(row.Payload), &e); err == nil {
			if e.ID == "" { // retried twice, it is one event
				e.ID = "quarantine/" + row.ID.String()
			}
			b.Events = append(b.Events, e)
		}
	case "slice":
		err = addRecord(&b.Slices, row)
	case "alias":
		err = addRecord(&b.Aliases, row)
	case "incident":
		err = addRecord(&b.Incidents, row)
	case "feedback":
		err = addRecord(&b.Feedback, row)
	case "consumption":
		err = addRecord(&b.Consumption, row)
	case "change":
		err = addRecord(&b.Changes, row)
	case "segment":
		return "", errors.New("bytes of the spool cannot be retried: what can be saved of them is beside it, under damaged/")
	default:
		return "", errors.New("it could not be made into an event: its sender must send it in another form, or `kubevalue quarantine drop` it")
	}
	if err != nil {
		return "", fmt.Errorf("its content cannot be read as %s: %w", row.Kind, err)
	}
	return row.Kind, nil
}

func addRecord[T any](list *[]T, row schema.Quarantined) error {
	var record T
	if err := json.Unmarshal([]byte(row.Payload), &record); err != nil {
		return err
	}
	*list = append(*list, record)
	return nil
}
