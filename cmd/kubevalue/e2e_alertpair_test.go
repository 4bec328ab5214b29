//go:build e2e

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
	"github.com/kubevalue/kubevalue/slo/freeport"
)

// receiver hears notifications: at /pair those of Alertmanagers, at /own those that kubevalue sends itself.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	heard map[string][]string // by path: status and objective
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{heard: map[string][]string{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		var body struct {
			Status, Objective string
			Alerts            []struct {
				Status string
				Labels map[string]string
			}
		}
		if err := json.NewDecoder(req.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if body.Objective != "" {
			r.heard[req.URL.Path] = append(r.heard[req.URL.Path], body.Status+" "+body.Objective)
		}
		for _, a := range body.Alerts {
			r.heard[req.URL.Path] = append(r.heard[req.URL.Path], a.Status+" "+a.Labels["objective"])
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// only says that both paths heard exactly this.
func (r *receiver) only(want ...string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, path := range []string{"/pair", "/own"} {
		if got := r.heard[path]; !slices.Equal(got, want) {
			return fmt.Errorf("%s heard %q, want %q", path, got, want)
		}
	}
	return nil
}

// alertPair is two services on one warehouse beside two Alertmanagers that gossip.
type alertPair struct {
	dsn, objectives string
	alertmanagers   []string
	hook            *receiver
	db              *warehouse.DB
	services        [2]*process
	configs         [2]string
}

// peerPatience is how long the second Alertmanager leaves a notification to the first, on a busy machine, too; groupInterval how often both look
// at an alert that was notified: less often, since what the second one is waiting with would else be outdated by what the first one tells meanwhile.
const (
	peerPatience  = 8 * time.Second
	groupInterval = 20 * time.Second
)

func newAlertPair(t *testing.T) *alertPair {
	t.Helper()
	p := &alertPair{dsn: warehousetest.DSN(t), hook: newReceiver(t), objectives: filepath.Join(t.TempDir(), "slo.yaml")}
	writeFile(t, p.objectives, peerObjective)
	text := fmt.Sprintf("route: {receiver: hook, group_by: [...], group_wait: 0s, group_interval: %s, repeat_interval: 24h}\n"+
		"receivers: [{name: hook, webhook_configs: [{url: '%s/pair', send_resolved: true}]}]\n", groupInterval, p.hook.URL)
	gossip := [2]string{fmt.Sprintf("127.0.0.1:%d", freeport.Get(t)), fmt.Sprintf("127.0.0.1:%d", freeport.Get(t))}
	for i := range gossip {
		p.alertmanagers = append(p.alertmanagers, runAlertmanager(t, t.TempDir(), text, "--cluster.listen-address="+gossip[i], "--cluster.peer="+gossip[1-i],
			"--cluster.advertise-address="+gossip[i], "--cluster.gossip-interval=50ms", "--cluster.peer-timeout="+peerPatience.String()))
	}
	for i := range p.services {
		p.configs[i] = filepath.Join(t.TempDir(), "kubevalue.yaml")
		writeFile(t, p.configs[i], fmt.Sprintf(`
server: {listen: "127.0.0.1:%d", tokens: tokens.json}
warehouse: {dsn: %q}
spool: {dir: spool}
identity: {key_file: identity.key}
objectives: {openslo: [%q]}
alerts: {alertmanagers: [%q, %q], webhooks: [%q], interval: 1s}
`, freeport.Get(t), p.dsn, p.objectives, p.alertmanagers[0], p.alertmanagers[1], p.hook.URL+"/own"))
		p.serve(t, i)
	}
	for _, url := range p.alertmanagers {
		awaitAlertmanager(t, url)
		awaitPeers(t, url, len(p.alertmanagers))
	}
	p.db = warehousetest.OpenDSN(t, p.dsn)
	if _, err := p.db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// awaitPeers waits until an Alertmanager knows so many, itself included: before, each would notify at once.
func awaitPeers(t *testing.T, url string, want int) {
	t.Helper()
	eventually(t, "the Alertmanagers know each other", func() error {
		body, err := getBody(t.Context(), http.DefaultClient, url+"/api/v2/status")
		if err != nil {
			return err
		}
		var answer struct {
			Cluster struct {
				Status string
				Peers  []struct{ Name string }
			}
		}
		if err := json.Unmarshal(body, &answer); err != nil || answer.Cluster.Status != "ready" || len(answer.Cluster.Peers) != want {
			return fmt.Errorf("%+v, %w", answer.Cluster, err)
		}
		return nil
	})
}

// serve starts a service, again if need be.
func (p *alertPair) serve(t *testing.T, i int) {
	t.Helper()
	p.services[i] = start(t, kubevalueBinary(t), "serve", "-c", p.configs[i])
}

// alerting is the service that alerts, by its log.
func (p *alertPair) alerting(t *testing.T) (i int) {
	t.Helper()
	eventually(t, "one of the services alerts", func() error {
		i = slices.IndexFunc(p.services[:], func(s *process) bool { return strings.Contains(s.log.String(), "this service alerts") })
		if i < 0 {
			return errors.New("none does")
		}
		return nil
	})
	return i
}

// active says whether each Alertmanager has exactly one alert, about checkout, told of after a time.
func (p *alertPair) active(t *testing.T, after time.Time) error {
	t.Helper()
	for _, url := range p.alertmanagers {
		body, err := getBody(t.Context(), http.DefaultClient, url+"/api/v2/alerts?active=true")
		if err != nil {
			return err
		}
		var all []struct {
			Labels    map[string]string
			UpdatedAt time.Time
		}
		if err := json.Unmarshal(body, &all); err != nil {
			return err
		}
		if len(all) != 1 || all[0].Labels["objective"] != "checkout" || !all[0].UpdatedAt.After(after) {
			return fmt.Errorf("%s has %+v, want one about checkout that was updated after %s", url, all, after)
		}
	}
	return nil
}

// told waits until the pair has been told of the alert from now on, and both paths have heard nothing but this.
func (p *alertPair) told(t *testing.T, what string, heard ...string) {
	t.Helper()
	now := time.Now()
	eventually(t, what, func() error { return errors.Join(p.active(t, now), p.hook.only(heard...)) })
}

// noted waits until it is stored that what was heard was delivered: from a service that is killed before, another one delivers it again.
func (p *alertPair) noted(t *testing.T) {
	t.Helper()
	eventually(t, "deliveries are noted", func() error {
		var all map[string]claimRecord
		if err := (stateTable{p.db}).read(t.Context(), stateClaims, &all); err != nil {
			return err
		}
		for id, r := range all {
			if r.Delivered {
				return nil
			}
			return fmt.Errorf("%s is not", id)
		}
		return errors.New("there are none")
	})
}

// TestE2ETwoServicesAndTwoAlertmanagersNotifyOnce has two whole services on a warehouse that they share, beside a pair of real
// Alertmanagers: one objective burns, the service that alerts is killed, both are started anew, and the objective recovers. People hear of
// one beginning and one end.
func TestE2ETwoServicesAndTwoAlertmanagersNotifyOnce(t *testing.T) {
	t.Parallel()
	p := newAlertPair(t)
	from := twoHoursAgo()
	storeSince(t, p.db, from, 0)
	p.told(t, "the alert is active in both and notified", "firing checkout")

	p.noted(t)
	one := p.alerting(t)
	other := 1 - one
	if strings.Contains(p.services[other].log.String(), "this service alerts") {
		t.Error("both services alert")
	}
	p.services[one].stop(t, syscall.SIGKILL)
	p.told(t, "the other service goes on", "firing checkout")
	p.serve(t, one)
	p.services[other].stop(t, syscall.SIGTERM)
	p.serve(t, other)
	p.told(t, "they go on after both were started anew", "firing checkout")

	storeSince(t, p.db, from, 10)
	eventually(t, "the end is notified", func() error { return p.hook.only("firing checkout", "resolved checkout") })
	time.Sleep(groupInterval + 2*peerPatience) // in which the second Alertmanager would notify, had it to
	must(t, "hear of one beginning and one end", p.hook.only("firing checkout", "resolved checkout"))
	for _, url := range p.alertmanagers {
		if body, err := getBody(t.Context(), http.DefaultClient, url+"/api/v2/alerts?active=true"); err != nil || strings.TrimSpace(string(body)) != "[]" {
			t.Errorf("%s still has %s, %v", url, body, err)
		}
	}
}
