package kube

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// stream passes a watch on, and tells its feed of signs of life and of its end.
type stream struct {
	f      *feed
	asked  context.Context //nolint:containedctx // of the request, whose end is no fault of the cluster
	number int
	inner  watch.Interface
	events chan watch.Event
	stop   sync.Once
	done   chan struct{}
}

func newStream(ctx context.Context, f *feed, number int, inner watch.Interface) *stream {
	s := &stream{f: f, asked: ctx, number: number, inner: inner, events: make(chan watch.Event), done: make(chan struct{})}
	go s.pass()
	return s
}

// ResultChan gives the events.
func (s *stream) ResultChan() <-chan watch.Event { return s.events }

// Stop ends the watch.
func (s *stream) Stop() {
	s.stop.Do(func() { close(s.done) })
	s.inner.Stop()
}

func (s *stream) pass() {
	defer close(s.events)
	defer s.ended()
	for {
		select {
		case <-s.done:
			return
		case event, ok := <-s.inner.ResultChan():
			if !ok {
				return
			}
			s.alive(event)
			select {
			case <-s.done:
				return
			case s.events <- event:
			}
		}
	}
}

// alive notes progress of a stream of initial objects, and its end, after which it may be silent, and what ends a watch.
func (s *stream) alive(event watch.Event) {
	s.f.c.mu.Lock()
	defer s.f.c.mu.Unlock()
	if event.Type == watch.Error && s.number == s.f.watches && s.asked.Err() == nil {
		if err := apierrors.FromObject(event.Object); !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
			s.f.fail(fmt.Errorf("watch: %w", err))
		}
	}
	if !s.f.streaming || s.number != s.f.watches {
		return
	}
	s.f.busySince = s.f.c.now()
	if event.Type == watch.Bookmark {
		if m, err := meta.Accessor(event.Object); err == nil && m.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true" {
			s.f.busySince = time.Time{}
		}
	}
}

// ended notes the end of the watch, before the reader sees it.
func (s *stream) ended() {
	s.f.c.mu.Lock()
	defer s.f.c.mu.Unlock()
	if s.number == s.f.watches {
		if s.f.streaming {
			s.f.streaming, s.f.busySince = false, time.Time{}
		}
		s.f.wentDown(s.f.c.now())
	}
}
