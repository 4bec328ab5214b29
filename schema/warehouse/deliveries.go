package warehouse

import (
	"context"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// PutDelivery notes how far a delivery has come. What is put last wins.
func (db *DB) PutDelivery(ctx context.Context, d schema.Delivery) error {
	one, version := []schema.Delivery{d}, db.nextVersion()
	return db.insert(ctx, block{table: schema.TableDeliveries, rows: 1, columns: []column{
		pick("report", "String", one, func(d *schema.Delivery) string { return d.Report }),
		pick("period", "String", one, func(d *schema.Delivery) string { return d.Period }),
		pick("recipient", "String", one, func(d *schema.Delivery) string { return d.Recipient }),
		pick("status", "Enum8('sending' = 0, 'sent' = 1, 'failed' = 2)", one, func(d *schema.Delivery) string { return string(d.Status) }),
		pick("at", kindTime, one, func(d *schema.Delivery) time.Time { return d.At }),
		pick("attempts", "UInt32", one, func(d *schema.Delivery) uint32 { return d.Attempts }),
		pick("error", "String", one, func(d *schema.Delivery) string { return d.Error }),
		pick("message_id", "String", one, func(d *schema.Delivery) string { return d.MessageID }),
		pick("version", "UInt64", one, func(*schema.Delivery) uint64 { return version }),
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
