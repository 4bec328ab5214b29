package warehouse

import (
	"context"
	"fmt"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// onceShares is into how many parts ids are divided, so that looking for copies of millions of events takes little memory.
const onceShares = 16

// StoredTwice counts the rows that are there although another one has the same id, of the events that were received at since or later and
// happened at most lateness before. It is for nights: it reads all times of receipt of that period.
func (db *DB) StoredTwice(ctx context.Context, since time.Time, lateness time.Duration) (int, error) {
	copies := 0
	for share := range onceShares {
		n, _, err := askOne(ctx, db, question{
			op: "look for events that are stored twice", table: schema.TableEvents,
			params: map[string]any{"since": since, "from": since.Add(-lateness)},
			sql: fmt.Sprintf(`
			SELECT sum(n) - count() FROM (
				SELECT count() AS n FROM events
				WHERE time >= {from:DateTime64(3, 'UTC')} AND received >= {since:DateTime64(3, 'UTC')} AND cityHash64(id) %% %d = %d
				GROUP BY id HAVING n > 1
			)`, onceShares, share),
		}, one[int64])
		if err != nil {
			return 0, err
		}
		copies += int(n)
	}
	return copies, nil
}
