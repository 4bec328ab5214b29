package kube

import (
	"strings"
	"sync"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// syncEnd is the end of a synchronisation of an Argo CD Application.
type syncEnd struct {
	key, reason string
	failed      bool
	began, at   time.Time
}

// attributeSynced is the newest synchronisation that was recorded, attributeFailed the newest failed one.
const (
	attributeSynced = "last_sync"
	attributeFailed = "last_failed_sync"
)

// applySyncs records the synchronisations that were not recorded yet, in their order.
func (c *cluster) applySyncs(t *tracked, ends []syncEnd) {
	for _, e := range ends {
		change, attribute := schema.ChangeCompleted, attributeSynced
		if e.failed {
			change, attribute = schema.ChangeFailed, attributeFailed
		}
		at := e.at
		if at.IsZero() || at.After(c.now()) {
			continue // it is under way, as far as our clock tells
		}
		if last, err := time.Parse(time.RFC3339, t.res.Attributes[attribute]); err == nil && !at.After(last) {
			continue
		}
		t.attribute(attribute, at.Format(time.RFC3339))
		ch := schema.ResourceChange{Change: change, Key: e.key, Reason: e.reason}
		if !e.began.IsZero() {
			ch.DurationMS = milliseconds(at.Sub(e.began))
		}
		c.record(t, when{at: at}, ch)
	}
}

// projects are the Argo CD projects by the name of the application. An Application often stands in another cluster than what it deploys,
// so all clusters share them.
type projects struct {
	mu sync.RWMutex
	of map[string]string
}

func newProjects() *projects { return &projects{of: map[string]string{}} }

func (p *projects) set(application, project string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of[application] = project; project == "" {
		delete(p.of, application)
	}
}

// project is that of the application which manages an object, as far as its labels name one that was seen.
func (p *projects) project(labels map[string]string) string {
	name, _, _ := strings.Cut(labels[schema.LabelArgoTracking], ":")
	if name == "" {
		name = labels[schema.LabelArgoInstance]
	}
	if name == "" {
		return ""
	}
	if _, after, ok := strings.Cut(name, "_"); ok { // NAMESPACE_NAME, of an application in a namespace of a team
		name = after
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.of[name]
}
