package journey

import (
	"context"
	"fmt"
	"sync"

	"github.com/kubevalue/kubevalue/schema"
)

// Remember answers a statement that was asked before, with the same parameters, from memory: for the questions of one
// report, page or test case, all of which ask for the roster, the merged identities and the coverage. It forgets nothing, so it is
// made anew for each of them; it is safe for concurrent use.
func Remember(query QueryFunc) QueryFunc {
	var mu sync.Mutex
	answers := map[string]schema.Result{}
	return func(ctx context.Context, sql string, params map[string]any) (schema.Result, error) {
		asked := fmt.Sprintf("%s\x00%v", sql, params)
		mu.Lock()
		r, ok := answers[asked]
		mu.Unlock()
		if ok {
			return r, nil
		}
		r, err := query(ctx, sql, params)
		if err == nil {
			mu.Lock()
			answers[asked] = r
			mu.Unlock()
		}
		return r, err
	}
}
