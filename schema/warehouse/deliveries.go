package warehouse

import (
	"context"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// PutDelivery notes how far a delivery has come. What is put last wins.
func (db *DB) PutDelivery(ctx context.Context, d schema.Delivery) error {
	return db.insert(ctx, block{table: schema.TableDeliveries, rows: 1, columns: []column{
		{"report", "String", []string{d.Report}},
		{"period", "String", []string{d.Period}},
		{"recipient", "String", []string{d.Recipient}},
		{"status", "Enum8('sending' = 0, 'sent' = 1, 'failed' = 2)", []string{string(d.Status)}},
		{"at", kindTime, []time.Time{d.At}},
		{"attempts", "UInt32", []uint32{d.Attempts}},
		{"error", "String", []string{d.Error}},
		{"message_id", "String", []string{d.MessageID}},
		{"version", "UInt64", []uint64{db.nextVersion()}},
	}})
}

const readDeliveries = `SELECT toString(report), period, recipient, toString(status), at, attempts, error, message_id
	FROM deliveries FINAL WHERE report = {report:String} AND period = {period:String}`

func deliveryFields(d *schema.Delivery) []any {
	return []any{&d.Report, &d.Period, &d.Recipient, (*string)(&d.Status), &d.At, &d.Attempts, &d.Error, &d.MessageID}
}

// Delivery returns what was last put of a delivery; false: nothing was.
func (db *DB) Delivery(ctx context.Context, report, period, recipient string) (schema.Delivery, bool, error) {
	return askOne(ctx, db, question{
		op: "read the delivery", table: schema.TableDeliveries,
		sql:    readDeliveries + " AND recipient = {recipient:String}",
		params: map[string]any{"report": report, "period": period, "recipient": recipient},
	}, deliveryFields)
}

// Deliveries returns what was last put of the deliveries of a report for a period, in order of recipients.
func (db *DB) Deliveries(ctx context.Context, report, period string) ([]schema.Delivery, error) {
	return ask(ctx, db, question{
		op: "read the deliveries", table: schema.TableDeliveries,
		sql:    readDeliveries + " ORDER BY recipient",
		params: map[string]any{"report": report, "period": period},
	}, deliveryFields)
}
