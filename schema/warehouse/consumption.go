package warehouse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// InsertConsumption stores consumption. Of records of one identity the one that was stored last counts: an older one that is stored again after a
// newer one takes its sums back.
func (db *DB) InsertConsumption(ctx context.Context, token string, rows []schema.Consumption) error {
	op := fmt.Sprintf("insert %d rows", len(rows))
	if token == "" {
		return refused(op, schema.TableConsumption, errNoToken)
	}
	for i := range rows {
		if err := errors.Join(rows[i].Validate(), checkTime("start", rows[i].Start)); err != nil {
			return refused(op, schema.TableConsumption, fmt.Errorf("row %d: %w", i, err))
		}
	}
	return db.insert(ctx, block{table: schema.TableConsumption, token: token, rows: len(rows), columns: []column{
		pick("cluster", "String", rows, func(r *schema.Consumption) string { return r.Cluster }),
		pick("start", kindTime, rows, func(r *schema.Consumption) time.Time { return r.Start }),
		pick("kind", "String", rows, func(r *schema.Consumption) string { return string(r.Kind) }),
		pick("class", "String", rows, func(r *schema.Consumption) string { return r.Class }),
		pick("namespace", "String", rows, func(r *schema.Consumption) string { return r.Namespace }),
		pick("team", "String", rows, func(r *schema.Consumption) string { return r.Team }),
		pick("seconds", "Float64", rows, func(r *schema.Consumption) float64 { return r.Seconds }),
		pick("core_seconds", "Float64", rows, func(r *schema.Consumption) float64 { return r.CoreSeconds }),
		pick("byte_seconds", "Float64", rows, func(r *schema.Consumption) float64 { return r.ByteSeconds }),
		pick("requested_core_seconds", "Float64", rows, func(r *schema.Consumption) float64 { return r.RequestedCoreSeconds }),
		pick("used_core_seconds", "Float64", rows, func(r *schema.Consumption) float64 { return r.UsedCoreSeconds }),
	}})
}

// PutPrices makes rows the prices, and shared the namespaces whose cost all teams of their cluster share; older versions stay.
func (db *DB) PutPrices(ctx context.Context, at time.Time, rows []schema.ResourcePrice, shared []string) (changed bool, err error) {
	for i, r := range rows {
		if r.Currency != rows[0].Currency {
			return false, refused("store the prices", schema.TablePrices, fmt.Errorf("row %d is in %s, the first one in %s: figures add up in one currency", i, r.Currency, rows[0].Currency))
		}
	}
	all := append([]schema.ResourcePrice{}, rows...)
	for _, namespace := range shared {
		all = append(all, schema.ResourcePrice{Kind: "shared", Class: namespace})
	}
	return put(ctx, db, registry{schema.TablePrices, at}, all, func(rows []schema.ResourcePrice) []column {
		return []column{
			pick("kind", "String", rows, func(r *schema.ResourcePrice) string { return string(r.Kind) }),
			pick("class", "String", rows, func(r *schema.ResourcePrice) string { return r.Class }),
			pick("per_hour", "Float64", rows, func(r *schema.ResourcePrice) float64 { return r.PerHour }),
			pick("currency", "String", rows, func(r *schema.ResourcePrice) string { return r.Currency }),
			pick("valid_from", kindTime, rows, func(r *schema.ResourcePrice) time.Time { return bounded(r.From, openFrom) }),
			pick("valid_to", kindTime, rows, func(r *schema.ResourcePrice) time.Time { return bounded(r.To, openTo) }),
		}
	})
}
