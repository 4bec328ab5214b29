package journey

import (
	"context"
	"fmt"
	"sync"

	"github.com/kubevalue/kubevalue/schema"
)

// askedAtOnce is how many statements of one page, report or run are on their way at a time: others need connections, too.
const askedAtOnce = 6

// Remember answers a statement that was asked before, with the same parameters, from memory: for the questions of one
// report, page or test case, all of which ask for the roster, the merged identities and the coverage. Who asks for what
// another one is asking for waits for that answer; an error is not remembered. It forgets nothing, so it is made anew for
// each of them; it is safe for concurrent use.
func Remember(query QueryFunc) QueryFunc {
	type answer struct {
		sync.Mutex
		known  bool
		result schema.Result
	}
	var mu sync.Mutex
	places := make(chan struct{}, askedAtOnce)
	answers := map[string]*answer{}
	return func(ctx context.Context, sql string, params map[string]any) (schema.Result, error) {
		asked := fmt.Sprintf("%s\x00%v", sql, params)
		mu.Lock()
		a := answers[asked]
		if a == nil {
			a = &answer{}
			answers[asked] = a
		}
		mu.Unlock()
		a.Lock()
		defer a.Unlock()
		if a.known {
			return a.result, nil
		}
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
		case <-ctx.Done():
			return a.result, ctx.Err()
		}
		var err error
		a.result, err = query(ctx, sql, params)
		a.known = err == nil
		return a.result, err
	}
}
