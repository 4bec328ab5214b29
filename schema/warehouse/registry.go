package warehouse

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// registry is a table whose rows are replaced as a whole.
type registry struct {
	table string
	at    time.Time
}

// put makes rows the content of a registry, unless they are the content already. Readers see the old rows until all new ones are there.
func put[T any](ctx context.Context, db *DB, r registry, rows []T, columns func([]T) []column) (changed bool, err error) {
	text, err := json.Marshal(rows)
	if err != nil {
		return false, failed("compare the rows", r.table, err)
	}
	sum := sha256.Sum256(text)
	digest := hex.EncodeToString(sum[:])
	type newest struct {
		version uint64
		digest  string
	}
	was, found, err := askOne(ctx, db, question{
		op: "read the newest version", table: schema.TableRegistries, params: map[string]any{"registry": r.table},
		sql: `SELECT version, digest FROM registry_versions WHERE registry = {registry:String} ORDER BY version DESC LIMIT 1`,
	}, func(n *newest) []any { return []any{&n.version, &n.digest} })
	if err != nil || found && was.digest == digest || !found && len(rows) == 0 {
		return false, err
	}
	version := max(was.version+1, db.nextVersion())
	versions := make([]uint64, len(rows))
	for i := range versions {
		versions[i] = version
	}
	err = db.insert(ctx, block{table: r.table, rows: len(rows), columns: append([]column{ready("version", "UInt64", versions)}, columns(rows)...)})
	if err != nil {
		return false, err
	}
	err = db.insert(ctx, block{table: schema.TableRegistries, rows: 1, columns: []column{
		ready("registry", "String", []string{r.table}),
		ready("version", "UInt64", []uint64{version}),
		ready("digest", "String", []string{digest}),
		ready("at", kindTime, []time.Time{r.at}),
	}})
	return err == nil, err
}

// PutCapabilities makes rows what the platform offers; older versions stay.
func (db *DB) PutCapabilities(ctx context.Context, at time.Time, rows []schema.Capability) (changed bool, err error) {
	for i, r := range rows {
		if r.Name == "" || len(r.Events) == 0 {
			return false, refused("store the capabilities", schema.TableCapabilities, fmt.Errorf("row %d (%s) has no name or no events", i, r.Name))
		}
	}
	return put(ctx, db, registry{schema.TableCapabilities, at}, rows, func(rows []schema.Capability) []column {
		return []column{
			pick("name", "String", rows, func(r *schema.Capability) string { return r.Name }),
			pick("title", "String", rows, func(r *schema.Capability) string { return r.Title }),
			pick("owner", "String", rows, func(r *schema.Capability) string { return r.Owner }),
			pick("events", "Array(String)", rows, func(r *schema.Capability) []string { return r.Events }),
			pick("valid_from", kindTime, rows, func(r *schema.Capability) time.Time { return bounded(r.From, openFrom) }),
			pick("valid_to", kindTime, rows, func(r *schema.Capability) time.Time { return bounded(r.To, openTo) }),
		}
	})
}
