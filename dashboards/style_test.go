package dashboards

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// themes reads the colours of the style sheet: those of the light theme, and those of the dark one over them.
func themes(t *testing.T) map[string]map[string]string {
	t.Helper()
	css := string(assets()["style.css"].content)
	light, rest, ok := strings.Cut(css, "@media screen and (prefers-color-scheme: dark)")
	if !ok {
		t.Fatal("the style sheet has no dark theme")
	}
	dark, _, _ := strings.Cut(rest, "* { box-sizing")
	out := map[string]map[string]string{"light": {}, "dark": {}}
	property := regexp.MustCompile(`--([a-z0-9-]+): (#[0-9a-f]{6});`)
	for _, m := range property.FindAllStringSubmatch(light, -1) {
		out["light"][m[1]], out["dark"][m[1]] = m[2], m[2]
	}
	for _, m := range property.FindAllStringSubmatch(dark, -1) {
		out["dark"][m[1]] = m[2]
	}
	return out
}

// luminance is WCAG 2's relative luminance of #rrggbb.
func luminance(t *testing.T, color string) float64 {
	t.Helper()
	var sum float64
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(color[1+2*i:3+2*i], 16, 8)
		if err != nil {
			t.Fatalf("colour %q: %v", color, err)
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func TestColoursKeepTheirContrastInBothThemes(t *testing.T) {
	const text, graphics = 4.5, 3.0 // WCAG 2 AA: 1.4.3 and 1.4.11
	type pair struct {
		front, back string
		least       float64
	}
	pairs := []pair{{"back", "link", text}}
	for _, front := range []string{"ink", "soft", "link"} {
		pairs = append(pairs, pair{front, "back", text}, pair{front, "raised", text})
	}
	for _, state := range []string{"good", "bad", "warn", "unknown"} {
		pairs = append(pairs, pair{state, "back", text}, pair{state, state + "-back", text})
	}
	for i := 1; i <= 5; i++ {
		pairs = append(pairs, pair{fmt.Sprintf("s%d", i), "back", graphics})
	}
	for shade := range 10 {
		ink := "heat-ink"
		if shade >= 6 {
			ink = "heat-ink-high"
		}
		pairs = append(pairs, pair{ink, fmt.Sprintf("h%d", shade), text})
	}
	for theme, colors := range themes(t) {
		for _, p := range pairs {
			front, back := colors[p.front], colors[p.back]
			if front == "" || back == "" {
				t.Fatalf("%s: --%s or --%s is missing in the style sheet", theme, p.front, p.back)
			}
			if got := contrast(t, front, back); got < p.least {
				t.Errorf("%s: --%s %s on --%s %s has a contrast of %.2f, want %.1f", theme, p.front, front, p.back, back, got, p.least)
			}
		}
	}
	if light, dark := themes(t)["light"]["back"], themes(t)["dark"]["back"]; luminance(t, light) < 0.8 || luminance(t, dark) > 0.05 {
		t.Errorf("backgrounds are %s and %s: the themes were not told apart", light, dark)
	}
}
