package kube

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const (
	// maxAnswer bounds the answer to one request, in bytes after decompression: many times what a page of objects is.
	maxAnswer = 64 << 20
	// maxBrief bounds answers about the cluster itself: its version, what it serves.
	maxBrief = 8 << 20
	// maxEvent bounds one event of a watch. The largest objects have 1.5 MiB.
	maxEvent = 16 << 20
)

// errTooLong says that an answer was given up.
var errTooLong = errors.New("the cluster sends more than is read of one answer")

// bound keeps a cluster from filling the memory with one answer, or one event of a watch. Of watches in protobuf client-go itself bounds
// the events.
type bound struct {
	next http.RoundTripper
	most int64
}

// RoundTrip passes a request on, and the answer as far as it may be read.
func (b *bound) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	switch {
	case err != nil:
		return resp, err
	case r.URL.Query().Get("watch") == "" || resp.StatusCode != http.StatusOK:
		resp.Body = &boundBody{ReadCloser: resp.Body, left: b.most, most: b.most}
	case !strings.Contains(resp.Header.Get("Content-Type"), "protobuf"):
		resp.Body = &boundEvents{ReadCloser: resp.Body}
	}
	return resp, nil
}

type boundBody struct {
	io.ReadCloser
	left, most int64
}

// Read fails after as many bytes as may be read.
func (b *boundBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("%w: the answer is longer than %d MiB", errTooLong, b.most>>20)
	}
	return n, err
}

// boundEvents reads JSON objects one after the other, none of which may be too long.
type boundEvents struct {
	io.ReadCloser
	length, depth   int
	inText, escaped bool
}

// Read fails when an object, or what is there in place of one, is too long.
func (b *boundEvents) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	for _, c := range p[:n] {
		b.length++
		switch {
		case b.escaped:
			b.escaped = false
		case b.inText:
			b.escaped, b.inText = c == '\\', c != '"'
		case c == '"':
			b.inText = true
		case c == '{', c == '[':
			b.depth++
		case c == '}', c == ']':
			if b.depth--; b.depth <= 0 {
				b.depth, b.length = 0, 0
			}
		}
	}
	if b.length > maxEvent {
		return 0, fmt.Errorf("%w: an event of a watch is longer than %d MiB", errTooLong, maxEvent>>20)
	}
	return n, err
}
