package pipeline

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// decoder reads a body from its front; after an error everything is zero.
type decoder struct {
	rest string
	err  error
	// attributesOf are the attributes that were read, by their bytes; few events have others than those before them.
	attributesOf map[string]map[string]string
}

// attributesKept bounds attributesOf.
const attributesKept = 256

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.rest = ""
}

func (d *decoder) take(n uint64) string {
	if n > uint64(len(d.rest)) {
		d.fail(errTruncated)
		return ""
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) byte() byte {
	if s := d.take(1); s != "" {
		return s[0]
	}
	return 0
}

func (d *decoder) uvarint() (n uint64) {
	for shift := 0; shift < 64; shift += 7 {
		if d.rest == "" {
			d.fail(errTruncated)
			return 0
		}
		b := d.rest[0]
		d.rest = d.rest[1:]
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
	d.fail(fmt.Errorf("a number is longer than 64 bits"))
	return 0
}

func (d *decoder) varint() int64 {
	n := d.uvarint()
	return int64(n>>1) ^ -int64(n&1)
}

func (d *decoder) text() string { return d.take(d.uvarint()) }

func (d *decoder) number() float64 {
	s := d.take(8)
	if s == "" {
		return 0
	}
	return math.Float64frombits(binary.LittleEndian.Uint64([]byte(s)))
}

// count reads the length of a list whose items take at least size bytes each.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.rest)/size) {
		d.fail(errTruncated)
		return 0
	}
	return int(n)
}

// milli reads a time that is given from the one before it.
func (d *decoder) milli(last time.Time) time.Time {
	return time.UnixMilli(last.UnixMilli() + d.varint()).UTC()
}

func (d *decoder) events(into []schema.Event) []schema.Event {
	n := d.count(2)
	last := schema.Event{Time: minTime, Received: minTime}
	for range n {
		mask := d.uvarint()
		fields := texts(&last)
		for bit := range fields {
			if mask&(1<<bit) != 0 {
				*fields[bit] = d.text()
			}
		}
		last.Time = d.milli(last.Time)
		if mask&(1<<bitGroups) != 0 {
			last.Groups = d.texts()
		}
		last.DurationMS, last.Value, last.Attributes = nil, nil, nil
		if mask&(1<<bitDuration) != 0 {
			last.DurationMS = new(d.number())
		}
		if mask&(1<<bitValue) != 0 {
			last.Value = new(d.number())
		}
		if mask&(1<<bitAttributes) != 0 {
			last.Attributes = d.attributes()
		}
		if mask&(1<<bitReceived) != 0 {
			last.Received = d.milli(last.Received)
		}
		if d.err != nil {
			return nil
		}
		into = append(into, last)
	}
	return into
}

func (d *decoder) texts() []string {
	n := d.count(1)
	list := make([]string, 0, n)
	for range n {
		list = append(list, d.text())
	}
	return list
}

func (d *decoder) attributes() map[string]string {
	begin := d.rest
	n := d.count(2)
	for range 2 * n {
		d.text()
	}
	if d.err != nil {
		return nil
	}
	raw := begin[:len(begin)-len(d.rest)]
	if m, known := d.attributesOf[raw]; known {
		return m
	}
	again := decoder{rest: raw}
	m := make(map[string]string, again.count(2))
	for range n {
		k := again.text()
		m[k] = again.text()
	}
	if d.attributesOf == nil {
		d.attributesOf = map[string]map[string]string{}
	}
	if len(d.attributesOf) < attributesKept {
		d.attributesOf[raw] = m
	}
	return m
}

func (d *decoder) slices() []schema.Slice {
	n := d.count(20)
	var list []schema.Slice
	var last schema.Slice
	for range n {
		mask := d.uvarint()
		fields := sliceTexts(&last)
		for bit := range fields {
			if mask&(1<<bit) != 0 {
				*fields[bit] = d.text()
			}
		}
		last.Start = time.Unix(d.varint(), 0).UTC()
		seconds := d.uvarint()
		if seconds > math.MaxUint32 {
			d.fail(fmt.Errorf("a slice of %d seconds", seconds))
		}
		last.Seconds, last.Good, last.Total, last.Version = uint32(seconds), d.number(), d.number(), d.uvarint()
		if d.err != nil {
			return nil
		}
		list = append(list, last)
	}
	return list
}

func (d *decoder) aliases() []schema.Alias {
	n := d.count(4)
	var list []schema.Alias
	for range n {
		a := schema.Alias{Source: d.text(), From: d.text(), To: d.text(), At: time.UnixMilli(d.varint()).UTC()}
		if d.err != nil {
			return nil
		}
		list = append(list, a)
	}
	return list
}

// readJSON reads what appendJSON wrote.
func readJSON[T any](d *decoder, kind string) []T {
	n := d.count(1)
	var list []T
	for range n {
		var record T
		text := d.text()
		if d.err == nil {
			if err := json.Unmarshal([]byte(text), &record); err != nil {
				d.fail(fmt.Errorf("%s: %w", kind, err))
			}
		}
		if d.err != nil {
			return nil
		}
		list = append(list, record)
	}
	return list
}
