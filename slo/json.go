package slo

import (
	"encoding/json"
	"time"
)

// JSON has durations as texts with units, such as 5m and 3d, as everywhere else in this package.

// written is a duration in JSON.
type written time.Duration

// MarshalText writes the duration as FormatDuration does.
func (d written) MarshalText() ([]byte, error) { return []byte(FormatDuration(time.Duration(d))), nil }

// UnmarshalText reads it back.
func (d *written) UnmarshalText(text []byte) error {
	v, err := ParseDuration(string(text))
	*d = written(v)
	return err
}

// windowJSON is an AlertWindow in JSON.
type windowJSON struct {
	Severity      string  `json:"severity"`
	Long          written `json:"long"`
	Short         written `json:"short"`
	Factor        float64 `json:"factor"`
	For           written `json:"for,omitzero"`
	KeepFiringFor written `json:"keep_firing_for,omitzero"`
}

func (a AlertWindow) json() windowJSON {
	return windowJSON{a.Severity, written(a.Long), written(a.Short), a.Factor, written(a.For), written(a.KeepFiringFor)}
}

func (w windowJSON) window() AlertWindow {
	return AlertWindow{w.Severity, time.Duration(w.Long), time.Duration(w.Short), w.Factor, time.Duration(w.For), time.Duration(w.KeepFiringFor)}
}

// MarshalJSON writes durations as texts.
func (a AlertWindow) MarshalJSON() ([]byte, error) { return json.Marshal(a.json()) }

// UnmarshalJSON reads what MarshalJSON writes.
func (a *AlertWindow) UnmarshalJSON(data []byte) error {
	var w windowJSON
	err := json.Unmarshal(data, &w)
	*a = w.window()
	return err
}

// pairJSON is a PairStatus in JSON.
type pairJSON struct {
	windowJSON
	State        AlertState `json:"state"`
	LongBurn     *float64   `json:"long_burn_rate"`
	ShortBurn    *float64   `json:"short_burn_rate"`
	LongCoverage *float64   `json:"long_coverage"`
	Reason       string     `json:"reason,omitempty"`
}

// MarshalJSON writes durations as texts.
func (p PairStatus) MarshalJSON() ([]byte, error) {
	return json.Marshal(pairJSON{p.json(), p.State, p.LongBurn, p.ShortBurn, p.LongCoverage, p.Reason})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (p *PairStatus) UnmarshalJSON(data []byte) error {
	var w pairJSON
	err := json.Unmarshal(data, &w)
	*p = PairStatus{w.window(), w.State, w.LongBurn, w.ShortBurn, w.LongCoverage, w.Reason}
	return err
}

// MarshalJSON writes the window as a text.
func (b BurnRate) MarshalJSON() ([]byte, error) {
	type plain BurnRate
	return json.Marshal(struct {
		Window written `json:"window"`
		plain
	}{written(b.Window), plain(b)})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (b *BurnRate) UnmarshalJSON(data []byte) error {
	type plain BurnRate
	v := struct {
		Window written `json:"window"`
		*plain
	}{plain: (*plain)(b)}
	err := json.Unmarshal(data, &v)
	b.Window = time.Duration(v.Window)
	return err
}

// MarshalJSON writes the window as a text.
func (f Forecast) MarshalJSON() ([]byte, error) {
	type plain Forecast
	return json.Marshal(struct {
		Window written `json:"window"`
		plain
	}{written(f.Window), plain(f)})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (f *Forecast) UnmarshalJSON(data []byte) error {
	type plain Forecast
	v := struct {
		Window written `json:"window"`
		*plain
	}{plain: (*plain)(f)}
	err := json.Unmarshal(data, &v)
	f.Window = time.Duration(v.Window)
	return err
}
