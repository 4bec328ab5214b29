//go:build e2e

package alerting

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/slo"
	"github.com/kubevalue/kubevalue/slo/freeport"
)

const alertmanagerBinary = "/usr/bin/prometheus-alertmanager"

// startAlertmanager runs a real one on loopback that notifies a webhook, and returns its address.
func startAlertmanager(t *testing.T, webhook string) string {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", freeport.Get(t))
	dir := t.TempDir()
	config := filepath.Join(dir, "alertmanager.yml")
	text := fmt.Sprintf("route: {receiver: hook, group_by: [...], group_wait: 0s, group_interval: 1s, repeat_interval: 24h}\nreceivers: [{name: hook, webhook_configs: [{url: '%s', send_resolved: true}]}]\n", webhook)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, alertmanagerBinary, "--config.file="+config, "--storage.path="+dir, "--web.listen-address="+address, "--cluster.listen-address=")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: install prometheus-alertmanager", err)
	}
	t.Cleanup(func() {
		cancel()
		if err := cmd.Wait(); err == nil {
			t.Log("alertmanager ended by itself")
		}
		if t.Failed() {
			t.Log(log.String())
		}
	})
	url := "http://" + address
	eventually(t, "alertmanager is ready", func() bool {
		resp, err := get(t, url+"/-/ready")
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	})
	return url
}

func get(t *testing.T, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return http.DefaultClient.Do(req)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

// notifications are what an Alertmanager told its receiver.
type notifications struct {
	*httptest.Server
	mu   sync.Mutex
	list []string // status and objective of each alert
}

func newNotifications(t *testing.T) *notifications {
	n := &notifications{}
	n.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		var body struct {
			Alerts []struct {
				Status string
				Labels map[string]string
			}
		}
		text, _ := io.ReadAll(req.Body)
		_ = json.Unmarshal(text, &body)
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, a := range body.Alerts {
			n.list = append(n.list, a.Status+" "+a.Labels["objective"])
		}
	}))
	t.Cleanup(n.Close)
	return n
}

func (n *notifications) seen() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.list...)
}

// active lists the alerts that an Alertmanager holds, by objective.
func active(t *testing.T, url string) map[string]time.Time {
	t.Helper()
	resp, err := get(t, url+"/api/v2/alerts")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var list []struct {
		Labels   map[string]string
		StartsAt time.Time
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	out := map[string]time.Time{}
	for _, a := range list {
		out[a.Labels["objective"]] = a.StartsAt
	}
	return out
}

func TestE2EARealAlertmanagerFiresAndResolvesOnce(t *testing.T) {
	hooks := [2]*notifications{newNotifications(t), newNotifications(t)}
	urls := []string{startAlertmanager(t, hooks[0].URL), startAlertmanager(t, hooks[1].URL)}
	store := &memory{}
	tick := func(state slo.AlertState) {
		t.Helper()
		// Two replicas, both restarted before every tick.
		for range 2 {
			m := NewManager(Config{Store: store, Now: time.Now, Senders: []Sender{&Alertmanager{URLs: urls, Interval: time.Minute, Timeout: time.Minute}}})
			if err := m.Tick(t.Context(), []Input{{Objective: "login", Status: pairStatus(time.Now().Truncate(time.Second), state, 0, 0), Labels: map[string]string{"service": "identity"}}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	tick(slo.Firing)
	for i, url := range urls {
		eventually(t, "the alert is active and notified", func() bool { return len(active(t, url)) == 1 && len(hooks[i].seen()) == 1 })
	}
	since := active(t, urls[0])["login"]
	time.Sleep(1100 * time.Millisecond)
	tick(slo.Firing)
	tick(slo.Frozen)
	if again := active(t, urls[0])["login"]; !again.Equal(since) {
		t.Errorf("starts at %s, then at %s", since, again)
	}
	tick(slo.Inactive)
	for i, url := range urls {
		eventually(t, "the alert is resolved and notified", func() bool { return len(active(t, url)) == 0 && len(hooks[i].seen()) == 2 })
		tick(slo.Inactive)
	}
	time.Sleep(2500 * time.Millisecond) // several group intervals, in which nothing must come
	for i := range urls {
		if got := fmt.Sprint(hooks[i].seen()); got != "[firing login resolved login]" {
			t.Errorf("replica %d notified %s", i, got)
		}
	}
}

func TestE2EARealAlertmanagerTakesTheGoodAlertsOfABadBatch(t *testing.T) {
	hook := newNotifications(t)
	url := startAlertmanager(t, hook.URL)
	all := alertsNamed(3)
	for i := range all {
		all[i].StartsAt = time.Now()
	}
	all[1].Labels["no-such-name"] = "x"
	err := (&Alertmanager{URLs: []string{url}, Timeout: time.Minute}).Send(t.Context(), time.Now(), all)
	if err == nil {
		t.Fatal("a bad alert was accepted")
	}
	eventually(t, "the good ones are active", func() bool { a := active(t, url); return len(a) == 2 && a["o1"].IsZero() })
	t.Log(err)
}
