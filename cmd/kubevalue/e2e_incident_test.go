//go:build e2e

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/slo/freeport"
)

// TestE2EARealAlertmanagerTellsOfIncidents lets one tell of an alert that fires and ends, while somebody adds what it cannot know.
func TestE2EARealAlertmanagerTellsOfIncidents(t *testing.T) {
	b := boot(t, "")
	token := b.token("am", collectors.EndpointIncidents)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "alertmanager.yml"), fmt.Sprintf(`route: {receiver: kubevalue, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 2s}
receivers: [{name: kubevalue, webhook_configs: [{url: '%s/v1/alertmanager', send_resolved: true, http_config: {authorization: {credentials: '%s'}}}]}]
`, b.url(), token))
	address := fmt.Sprintf("127.0.0.1:%d", freeport.Get(t))
	start(t, "prometheus-alertmanager", "--config.file="+filepath.Join(dir, "alertmanager.yml"), "--storage.path="+dir, "--web.listen-address="+address, "--cluster.listen-address=")
	began := time.Now().Add(-10 * time.Minute).UTC().Truncate(time.Millisecond)
	alert := func(ended time.Time) func() error {
		return func() error {
			body, err := json.Marshal([]map[string]any{{
				"labels": map[string]string{"alertname": "APIServerDown", "service": "clusters", "zone": "eu-1a", "email": "ann@example.com"}, "annotations": map[string]string{"summary": "nobody reaches it"},
				"startsAt": began, "endsAt": ended, "generatorURL": "http://prometheus.example.com/graph",
			}})
			if err != nil {
				return err
			}
			resp, err := http.Post("http://"+address+"/api/v2/alerts", "application/json", bytes.NewReader(body))
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("status %d", resp.StatusCode)
			}
			return nil
		}
	}
	eventually(t, "Alertmanager takes the alert", alert(time.Now().Add(time.Hour)))
	var in schema.Incident
	found := func(what string, ok func() bool) {
		t.Helper()
		eventually(t, what, func() error {
			all, err := b.db.Incidents(t.Context(), began.Add(-time.Hour), time.Now())
			if err != nil || len(all) != 1 {
				return fmt.Errorf("%d incidents, %w", len(all), err)
			}
			if in = all[0]; !ok() {
				return fmt.Errorf("the incident is %+v", in)
			}
			return nil
		})
	}
	found("the alert is an incident", func() bool {
		return in.Service == "clusters" && in.Class == "APIServerDown" && in.Title == "nobody reaches it" && in.Start.Equal(began) && in.Resolved.IsZero()
	})
	command := func(args ...string) string {
		t.Helper()
		var out, fault bytes.Buffer
		if code := run(t.Context(), append(args, "-c", b.config), &out, &fault); code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, fault.String())
		}
		return out.String()
	}
	command("incident", "set", in.ID, "--cause", "a full disk", "--origin", "own")
	command("incident", "followup", in.ID, "P-1", "--owner", "platform", "--due", "2030-01-01")
	ended := time.Now().UTC().Truncate(time.Millisecond)
	eventually(t, "Alertmanager takes the end", alert(ended))
	found("the incident is over, and what was said of it is still there", func() bool {
		return in.Resolved.Equal(ended) && in.Cause == "a full disk" && in.Origin == schema.OriginOwn && len(in.Followups) == 1 && in.Followups[0].Owner == "platform"
	})
	// What Alertmanager says besides is kept, but for what names a person.
	var details map[string]map[string]any
	if err := json.Unmarshal(in.Details, &details); err != nil || details["labels"]["zone"] != "eu-1a" || details["notification"]["receiver"] != "kubevalue" || strings.Contains(string(in.Details), "ann") {
		t.Errorf("kept of the alert is %s, %v", in.Details, err)
	}
	time.Sleep(3 * time.Second) // it is sent again meanwhile
	found("it stays one", func() bool { return in.Resolved.Equal(ended) })
	if list := command("incident", "list"); !strings.Contains(list, in.ID) || !strings.Contains(list, "0 of 1 done") {
		t.Errorf("list:\n%s", list)
	}
}
