package metrictest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubevalue/kubevalue/journey/analysis"
)

// formatCell writes plain data as YAML in flow style.
func formatCell(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case []any:
		parts := make([]string, len(v))
		for i, item := range v {
			parts[i] = formatCell(item)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		parts := make([]string, 0, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, k+": "+formatCell(v[k]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case float64:
		return fmt.Sprintf("%.10g", v)
	}
	return fmt.Sprint(v)
}

func formatRows(rows [][]any) string {
	if len(rows) == 0 {
		return "no rows"
	}
	lines := make([]string, len(rows))
	for i, row := range rows {
		lines[i] = formatCell(row)
	}
	return strings.Join(lines, "\n")
}

func formatExpected(e Expectation) string {
	if e.Value != nil {
		return formatCell(e.Value)
	}
	return formatRows(e.Rows)
}

func formatResult(r analysis.Result) string {
	if r.Value != nil {
		return formatCell(r.Value)
	}
	return formatRows(r.Rows)
}
