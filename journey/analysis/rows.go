package analysis

import (
	"context"
	"fmt"
)

// row reads the columns of one row by position. The first column of an unexpected type is remembered in err.
type row struct {
	values []any
	err    *error
}

func column[T any](r row, i int) T {
	v, ok := r.values[i].(T)
	if !ok && *r.err == nil {
		var want T
		*r.err = fmt.Errorf("column %d is a %T, want a %T", i+1, r.values[i], want)
	}
	return v
}

func (r row) uint64(i int) uint64  { return column[uint64](r, i) }
func (r row) uint32(i int) uint32  { return column[uint32](r, i) }
func (r row) int64(i int) int64    { return column[int64](r, i) }
func (r row) string(i int) string  { return column[string](r, i) }
func (r row) bool(i int) bool      { return column[bool](r, i) }
func (r row) int64s(i int) []int64 { return column[[]int64](r, i) }

// rows runs a statement and hands its rows over one by one.
func (s Source) rows(ctx context.Context, sql string, params map[string]any, each func(row)) error {
	result, err := s.Query(ctx, sql, params)
	if err != nil {
		return err
	}
	var broken error
	for _, values := range result.Rows {
		each(row{values, &broken})
		if broken != nil {
			return broken
		}
	}
	return nil
}
