package pipeline

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"unsafe"

	"github.com/klauspost/compress/s2"

	"github.com/kubevalue/kubevalue/schema"
)

// A spooled batch is
//
//	format u8 | records uvarint | s2 block of: flags u8, then each list of the batch as its length and its records
//
// A record begins with a mask of what differs from the one before it in its list, since neighbours share most of their
// fields. Texts are a length and bytes, times the milliseconds since the record before.
const (
	codecFormat = 1
	// maxBody bounds a batch in this form before compression, in bytes.
	maxBody = 48 << 20

	flagBackfill = 1
)

var errTruncated = errors.New("the batch ends in the middle of a record")

// texts are the fields of an event that are text, in the order of their bits in the mask.
func texts(e *schema.Event) [14]*string {
	return [14]*string{
		&e.ID, &e.Source, &e.Name, &e.Actor, (*string)(&e.ActorKind), &e.Team, &e.OwnerTeam, &e.Persona, &e.Cluster, &e.Namespace,
		&e.Resource, &e.Object, (*string)(&e.Outcome), &e.Reason,
	}
}

// The bits of an event's mask behind those of its texts.
const (
	bitGroups = 14 + iota
	bitDuration
	bitValue
	bitAttributes
	bitReceived
)

// encoder holds the buffers of one encoding, for use again.
type encoder struct {
	body, packed []byte
	keys         []string
	// lists are the attributes of the batch in their spooled form, listed where those of a map lie there: decoders make one map of equal
	// attributes.
	lists  []byte
	listed map[unsafe.Pointer]span
}

// span is a part of a buffer.
type span struct{ from, to int }

// encode returns the batch in its spooled form, valid until the next call. keep says which attributes stay.
func (c *encoder) encode(b *schema.Batch, keep map[string]bool) ([]byte, error) {
	flags := byte(0)
	if b.Backfill {
		flags |= flagBackfill
	}
	c.body = append(c.body[:0], flags)
	c.events(b.Events, keep)
	c.slices(b.Slices)
	c.aliases(b.Aliases)
	if err := errors.Join(appendJSON(c, kindIncident, b.Incidents), appendJSON(c, kindChange, b.Changes), appendLater(c, b)); err != nil {
		return nil, err
	}
	if len(c.body) > maxBody {
		return nil, fmt.Errorf("a batch of %d bytes is above %d: send smaller batches", len(c.body), maxBody)
	}
	c.packed = binary.AppendUvarint(append(c.packed[:0], codecFormat), uint64(b.Len()))
	head := len(c.packed)
	c.packed = slices.Grow(c.packed, s2.MaxEncodedLen(len(c.body)))
	block := s2.Encode(c.packed[head:cap(c.packed)], c.body)
	return c.packed[:head+len(block)], nil
}

// appendLater appends the lists that batches have only had since the format was in use; a batch ends behind the last one that is not empty.
func appendLater(c *encoder, b *schema.Batch) error {
	if len(b.Feedback)+len(b.Consumption) == 0 {
		return nil
	}
	if err := appendJSON(c, kindFeedback, b.Feedback); err != nil || len(b.Consumption) == 0 {
		return err
	}
	return appendJSON(c, kindConsumption, b.Consumption)
}

func (c *encoder) text(s string) { c.body = appendText(c.body, s) }

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func (c *encoder) number(f float64) {
	c.body = binary.LittleEndian.AppendUint64(c.body, math.Float64bits(f))
}

func (c *encoder) events(list []schema.Event, keep map[string]bool) {
	c.body = binary.AppendUvarint(c.body, uint64(len(list)))
	last := &schema.Event{Time: minTime, Received: minTime}
	for i := range list {
		e := &list[i]
		was, is := texts(last), texts(e)
		mask := uint64(0)
		for bit := range is {
			if *is[bit] != *was[bit] {
				mask |= 1 << bit
			}
		}
		attributes := c.attributes(e.Attributes, keep)
		mask |= when(!slices.Equal(e.Groups, last.Groups), bitGroups) | when(e.DurationMS != nil, bitDuration) | when(e.Value != nil, bitValue) |
			when(len(attributes) > 0, bitAttributes) | when(!e.Received.Equal(last.Received), bitReceived)
		c.body = binary.AppendUvarint(c.body, mask)
		for bit := range is {
			if mask&(1<<bit) != 0 {
				c.text(*is[bit])
			}
		}
		c.body = binary.AppendVarint(c.body, e.Time.UnixMilli()-last.Time.UnixMilli())
		c.rest(e, last, mask, attributes)
		last = e
	}
	c.lists = c.lists[:0]
	clear(c.listed)
}

func when(set bool, bit int) uint64 {
	if set {
		return 1 << bit
	}
	return 0
}

// rest appends what of an event is neither text nor its time.
func (c *encoder) rest(e, last *schema.Event, mask uint64, attributes []byte) {
	if mask&(1<<bitGroups) != 0 {
		c.body = binary.AppendUvarint(c.body, uint64(len(e.Groups)))
		for _, g := range e.Groups {
			c.text(g)
		}
	}
	if e.DurationMS != nil {
		c.number(*e.DurationMS)
	}
	if e.Value != nil {
		c.number(*e.Value)
	}
	c.body = append(c.body, attributes...)
	if mask&(1<<bitReceived) != 0 {
		c.body = binary.AppendVarint(c.body, e.Received.UnixMilli()-last.Received.UnixMilli())
	}
}

// attributes gives the ones that stay in their spooled form, in the order of their keys, so that equal ones look the same; empty: none
// stays. It is valid until the next call.
func (c *encoder) attributes(all map[string]string, keep map[string]bool) []byte {
	if len(all) == 0 {
		return nil
	}
	at := reflect.ValueOf(all).UnsafePointer()
	if known, ok := c.listed[at]; ok {
		return c.lists[known.from:known.to]
	}
	c.keys = c.keys[:0]
	for k := range all {
		if keep[k] {
			c.keys = append(c.keys, k)
		}
	}
	from := len(c.lists)
	if len(c.keys) > 0 {
		c.lists = binary.AppendUvarint(c.lists, uint64(len(c.keys)))
	}
	slices.Sort(c.keys)
	for _, k := range c.keys {
		c.lists = appendText(appendText(c.lists, k), all[k])
	}
	clear(c.keys)
	list := c.lists[from:]
	if len(c.listed) < attributesKept {
		if c.listed == nil {
			c.listed = map[unsafe.Pointer]span{}
		}
		c.listed[at] = span{from, len(c.lists)}
	} else {
		c.lists = c.lists[:from]
	}
	return list
}

func (c *encoder) slices(list []schema.Slice) {
	c.body = binary.AppendUvarint(c.body, uint64(len(list)))
	var last schema.Slice
	for i := range list {
		s := &list[i]
		is, was := sliceTexts(s), sliceTexts(&last)
		mask := uint64(0)
		for bit := range is {
			mask |= when(*is[bit] != *was[bit], bit)
		}
		c.body = binary.AppendUvarint(c.body, mask)
		for bit := range is {
			if mask&(1<<bit) != 0 {
				c.text(*is[bit])
			}
		}
		c.body = binary.AppendVarint(c.body, s.Start.Unix())
		c.body = binary.AppendUvarint(c.body, uint64(s.Seconds))
		c.number(s.Good)
		c.number(s.Total)
		c.body = binary.AppendUvarint(c.body, s.Version)
		last = *s
	}
}

func sliceTexts(s *schema.Slice) [4]*string {
	return [4]*string{&s.Indicator, &s.Revision, &s.Group, (*string)(&s.State)}
}

func (c *encoder) aliases(list []schema.Alias) {
	c.body = binary.AppendUvarint(c.body, uint64(len(list)))
	for _, a := range list {
		c.text(a.Source)
		c.text(a.From)
		c.text(a.To)
		c.body = binary.AppendVarint(c.body, a.At.UnixMilli())
	}
}

// appendJSON writes records of which there are few, and which grow fields.
func appendJSON[T any](c *encoder, kind string, list []T) error {
	c.body = binary.AppendUvarint(c.body, uint64(len(list)))
	for i := range list {
		text, err := json.Marshal(&list[i])
		if err != nil {
			return fmt.Errorf("%s %d: %w", kind, i, err)
		}
		c.text(string(text))
	}
	return nil
}

// batchLen is the number of records of a spooled batch, and where its body begins.
func batchLen(payload []byte) (records, head int, err error) {
	if len(payload) == 0 || payload[0] != codecFormat {
		return 0, 0, errors.New("the batch is in a format that this version does not know")
	}
	n, size := binary.Uvarint(payload[1:])
	if size <= 0 || n > maxBody {
		return 0, 0, errTruncated
	}
	return int(n), 1 + size, nil
}

// decode reads a spooled batch. Its texts share one allocation, so that each event that stays keeps all of them, and equal
// attributes one map, which nobody may change. events is a slice to use again.
func decode(payload []byte, events []schema.Event) (schema.Batch, error) {
	records, head, err := batchLen(payload)
	if err != nil {
		return schema.Batch{}, err
	}
	size, err := s2.DecodedLen(payload[head:])
	if err != nil || size > maxBody {
		return schema.Batch{}, fmt.Errorf("the batch cannot be unpacked to at most %d bytes: %w", maxBody, err)
	}
	body, err := s2.Decode(nil, payload[head:])
	if err != nil {
		return schema.Batch{}, fmt.Errorf("unpack the batch: %w", err)
	}
	d := &decoder{rest: unsafe.String(unsafe.SliceData(body), len(body))} // nobody else has the body
	b := schema.Batch{Backfill: d.byte()&flagBackfill != 0}
	b.Events = d.events(events[:0])
	b.Slices = d.slices()
	b.Aliases = d.aliases()
	b.Incidents = readJSON[schema.Incident](d, kindIncident)
	b.Changes = readJSON[schema.ResourceChange](d, kindChange)
	later := d.err == nil && d.rest != "" // see appendLater
	if later {
		b.Feedback = readJSON[schema.Feedback](d, kindFeedback)
	}
	if d.err == nil && d.rest != "" {
		b.Consumption = readJSON[schema.Consumption](d, kindConsumption)
	}
	switch {
	case d.err != nil:
	case d.rest != "" || later && len(b.Feedback)+len(b.Consumption) == 0:
		d.err = errors.New("bytes follow the batch")
	case b.Len() != records:
		d.err = fmt.Errorf("the batch has %d records, want %d", b.Len(), records)
	}
	return b, d.err
}
