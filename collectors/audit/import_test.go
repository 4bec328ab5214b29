package audit

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// line is an audit event as kube-apiserver logs it.
func line(id, fields string) string {
	if fields != "" {
		fields = "," + fields
	}
	return strings.Replace(item(`"auditID":"`+id+`"`+fields), "{", `{"kind":"Event","apiVersion":"audit.k8s.io/v1",`, 1)
}

func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(quoted)
}

func importText(t *testing.T, text string, change func(*ImportConfig)) ([]schema.Event, Summary, error) {
	t.Helper()
	sink := &memorySink{}
	cfg := ImportConfig{
		Reader: strings.NewReader(text), Cluster: "prod-1", Sink: sink, Validate: func(*schema.Event) error { return nil },
		Now: func() time.Time { return received },
	}
	if change != nil {
		change(&cfg)
	}
	summary, err := Import(t.Context(), cfg)
	return sink.events(), summary, err
}

func ids(events []schema.Event) string {
	var all []string
	for _, e := range events {
		all = append(all, strings.TrimSuffix(e.ID, "/ResponseComplete"))
	}
	return strings.Join(all, " ")
}

const gkeCreate = `{"insertId":"g1","logName":"projects/p/logs/cloudaudit.googleapis.com%2Factivity","timestamp":"2026-11-16T09:00:00.123456Z",
 "resource":{"type":"k8s_cluster","labels":{"project_id":"p","location":"europe-west1","cluster_name":"gke-1"}},
 "labels":{"authorization.k8s.io/decision":"allow"},
 "protoPayload":{"@type":"type.googleapis.com/google.cloud.audit.AuditLog","serviceName":"k8s.io","methodName":"io.k8s.apps.v1.deployments.create",
 "resourceName":"apps/v1/namespaces/shop/deployments/web","authenticationInfo":{"principalEmail":"ann@example.org"},
 "requestMetadata":{"callerIp":"203.0.113.10"},"request":{"@type":"apps.k8s.io/v1.Deployment"},"status":{"code":0}}}`

// gkeLine is the entry on a line of its own.
var gkeLine = strings.ReplaceAll(gkeCreate, "\n", " ")

func TestImportReadsAllForms(t *testing.T) {
	message := func(id string) string { return quote(line(id, "")) }
	for name, c := range map[string]struct {
		format  Format
		text    string
		ids     string
		leftOut map[LeftOut]int
	}{
		"a line an event": {FormatJSONLines, line("a", "") + "\n" + line("b", `"verb":"get"`) + "\r\n\n" + line("c", ""), "a c", map[LeftOut]int{LeftOutRead: 1}},
		"an event list":   {FormatJSONLines, string(list(item(`"auditID":"a"`), item(`"auditID":"b"`))) + "\n", "a b", nil},
		"CloudWatch's export": {
			FormatEKS,
			"2026-11-16T09:00:00.000Z " + line("a", "") + "\n2026-11-16T09:00:00.000Z time=\"x\" level=info msg=\"access granted\"\n" +
				"2026-11-16T09:00:01.000Z " + line("b", "") + "\n", "a b", map[LeftOut]int{LeftOutOtherLogEntry: 1},
		},
		"CloudWatch's subscription, documents without a space": {
			FormatEKS,
			`{"messageType":"CONTROL_MESSAGE","logEvents":[{"id":"1","timestamp":1,"message":"CWL CONTROL MESSAGE"}]}` +
				`{"messageType":"DATA_MESSAGE","logGroup":"/aws/eks/eks-1/cluster","logStream":"kube-apiserver-audit-f00","logEvents":[{"id":"1","timestamp":1,"message":` +
				message("a") + `},{"id":"2","timestamp":1,"message":` + message("b") + `}]}` +
				`{"messageType":"DATA_MESSAGE","logGroup":"/aws/eks/eks-1/cluster","logStream":"authenticator-f00","logEvents":[{"id":"3","timestamp":1,"message":` + message("c") + `}]}`,
			"a b", map[LeftOut]int{LeftOutOtherLogEntry: 2},
		},
		"what the AWS CLI prints": {
			FormatEKS,
			"{\n    \"events\": [\n        {\n            \"logStreamName\": \"kube-apiserver-audit-f00\",\n            \"message\": " + message("a") +
				"\n        },\n        {\n            \"logStreamName\": \"kube-apiserver-f00\",\n            \"message\": \"I1116 text\"\n        }\n    ],\n" +
				"    \"searchedLogStreams\": []\n}\n", "a", map[LeftOut]int{LeftOutOtherLogEntry: 1},
		},
		"Azure's storage account": {
			FormatAKS,
			`{"category":"kube-audit-admin","operationName":"Microsoft.ContainerService/managedClusters/diagnosticLogs/Read","properties":{"log":` +
				quote(line("a", "")+"\n") + `,"pod":"kube-apiserver-0","stream":"stdout"},"resourceId":"/SUBSCRIPTIONS/S/MANAGEDCLUSTERS/AKS-1","time":"2026-11-16T09:00:00Z"}` + "\n" +
				`{"category":"guard","properties":{"log":"text"}}` + "\n" +
				`{"category":"kube-audit","properties":{"log":"{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"auditID\":"}}`,
			"a", map[LeftOut]int{LeftOutOtherLogEntry: 1, LeftOutMalformed: 1},
		},
		"Azure's event hub": {
			FormatAKS,
			`{"records":[{"category":"kube-audit","properties":{"log":` + message("a") + `}},{"category":"kube-audit","properties":` + quote(`{"log":`+line("b", "")+`}`) + `}]}`,
			"a b", nil,
		},
		"Cloud Logging by lines": {FormatGKE, gkeLine + "\n" + strings.Replace(gkeLine, "g1", "g2", 1), "g1 g2", nil},
		"what gcloud prints": {
			FormatGKE, "[\n  " + gkeCreate + ",\n  {\n" + strings.Replace(gkeCreate, "g1", "g2", 1)[1:] + "\n]\n", "g1 g2", nil,
		},
		"an array on a line": {FormatGKE, "[" + gkeLine + "," + gkeLine + "]", "g1 g1", nil},
		"GKE's other services": {
			FormatGKE, strings.Replace(gkeLine, `"serviceName":"k8s.io"`, `"serviceName":"container.googleapis.com"`, 1), "", map[LeftOut]int{LeftOutOtherLogEntry: 1},
		},
	} {
		for _, format := range []Format{c.format, FormatAuto} {
			t.Run(name+" as "+string(format), func(t *testing.T) {
				events, summary, err := importText(t, c.text, func(cfg *ImportConfig) { cfg.Format = format })
				if err != nil || ids(events) != c.ids {
					t.Fatalf("events %q, error %v, want %q; summary %+v", ids(events), err, c.ids, summary)
				}
				if diff := cmp.Diff(c.leftOut, summary.LeftOut, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("left out differs (-want +got):\n%s", diff)
				}
				for _, e := range events {
					if e.Source != "audit/prod-1" || e.Name != "deployments.create" || e.Namespace != "shop" || e.Received != received {
						t.Errorf("event %+v", e)
					}
				}
			})
		}
	}
}

func TestAnotherFormatIsLeftOut(t *testing.T) {
	events, summary, err := importText(t, gkeLine+"\n"+line("a", ""), func(cfg *ImportConfig) { cfg.Format = FormatAKS })
	if err != nil || len(events) != 0 || summary.LeftOut[LeftOutOtherLogEntry] != 2 {
		t.Errorf("%d events, summary %+v, error %v", len(events), summary, err)
	}
}

func TestWrappersNameTheCluster(t *testing.T) {
	aks := `{"category":"kube-audit","resourceId":"/SUBSCRIPTIONS/S/MANAGEDCLUSTERS/AKS-1","properties":{"log":` + quote(line("a", "")) + `}}`
	eks := `{"messageType":"DATA_MESSAGE","logGroup":"/aws/eks/eks-1/cluster","logStream":"kube-apiserver-audit-f00","logEvents":[{"message":` + quote(line("a", "")) + `}]}`
	for text, want := range map[string]string{gkeLine: "gke-1", aks: "aks-1", eks: "eks-1"} {
		events, _, err := importText(t, text, func(cfg *ImportConfig) { cfg.Cluster = "" })
		if err != nil || len(events) != 1 || events[0].Cluster != want || events[0].Source != "audit/"+want {
			t.Errorf("%s: events %+v, error %v", want, events, err)
		}
	}
	if _, _, err := importText(t, line("a", ""), func(cfg *ImportConfig) { cfg.Cluster = "" }); err == nil || !strings.Contains(err.Error(), "say which it is") {
		t.Errorf("no cluster: error %v", err)
	}
}

func TestGKEEntriesAreRebuilt(t *testing.T) {
	for name, c := range map[string]struct {
		method, resource, status, response string
		want                               schema.Event
		why                                LeftOut
	}{
		"namespace": {
			method: "io.k8s.core.v1.namespaces.create", resource: "core/v1/namespaces/shop",
			want: schema.Event{Name: "namespaces.create", Resource: "namespaces", Namespace: "shop", Object: "shop", Outcome: schema.OutcomeSuccess},
		},
		"namespace finalize": {
			method: "io.k8s.core.v1.namespaces.finalize.update", resource: "core/v1/namespaces/shop/finalize",
			want: schema.Event{Name: "namespaces/finalize.update", Resource: "namespaces/finalize", Namespace: "shop", Object: "shop", Outcome: schema.OutcomeSuccess},
		},
		"exec": {
			method: "io.k8s.core.v1.pods.exec.create", resource: "core/v1/namespaces/shop/pods/web-0/exec",
			want: schema.Event{Name: "pods/exec.create", Resource: "pods/exec", Namespace: "shop", Object: "web-0", Outcome: schema.OutcomeSuccess},
		},
		"custom resource": {
			method: "org.example.v1.things.patch", resource: "example.org/v1/namespaces/shop/things/t",
			want: schema.Event{Name: "things.patch", Resource: "things", Namespace: "shop", Object: "t", Outcome: schema.OutcomeSuccess,
				Attributes: map[string]string{AttributeAPIGroup: "example.org"}},
		},
		"cluster-scoped": {
			method: "io.k8s.core.v1.nodes.patch", resource: "core/v1/nodes/n1",
			want: schema.Event{Name: "nodes.patch", Resource: "nodes", Object: "n1", Outcome: schema.OutcomeSuccess},
		},
		"quota by Status": {
			method: "io.k8s.core.v1.pods.create", resource: "core/v1/namespaces/shop/pods", status: `{"code":7,"message":"Forbidden"}`,
			response: `{"@type":"core.k8s.io/v1.Status","code":403,"reason":"Forbidden","message":"pods \"web\" is forbidden: exceeded quota: team"}`,
			want:     schema.Event{Name: "pods.create", Resource: "pods", Namespace: "shop", Outcome: schema.OutcomeDenied, Reason: schema.ReasonQuota},
		},
		"conflict by code": {
			method: "io.k8s.core.v1.pods.update", resource: "core/v1/namespaces/shop/pods/web", status: `{"code":10,"message":"modified"}`,
			want: schema.Event{Name: "pods.update", Resource: "pods", Namespace: "shop", Object: "web", Outcome: schema.OutcomeFailure, Reason: "conflict"},
		},
		"exists by code": {
			method: "io.k8s.core.v1.pods.create", resource: "core/v1/namespaces/shop/pods/web", status: `{"code":6}`,
			want: schema.Event{Name: "pods.create", Resource: "pods", Namespace: "shop", Object: "web", Outcome: schema.OutcomeFailure, Reason: "alreadyexists"},
		},
		"read":      {method: "io.k8s.core.v1.pods.list", resource: "core/v1/namespaces/shop/pods", why: LeftOutRead},
		"review":    {method: "io.k8s.authorization.v1.subjectaccessreviews.create", resource: "authorization.k8s.io/v1/subjectaccessreviews", why: LeftOutReview},
		"no object": {method: "io.k8s.post", resource: "healthz", why: LeftOutNonResource},
	} {
		t.Run(name, func(t *testing.T) {
			status, response := c.status, c.response
			if status == "" {
				status = "{}"
			}
			if response == "" {
				response = "null"
			}
			entry := fmt.Sprintf(`{"insertId":"g1","timestamp":"2026-11-16T09:00:00Z","protoPayload":{"serviceName":"k8s.io","methodName":%q,"resourceName":%q,`+
				`"authenticationInfo":{"principalEmail":"ann@example.org"},"status":%s,"response":%s}}`, c.method, c.resource, status, response)
			events, summary, err := importText(t, entry, nil)
			if err != nil || summary.LeftOut[c.why] != 1 && c.why != Taken {
				t.Fatalf("summary %+v, error %v", summary, err)
			}
			if c.why != Taken {
				return
			}
			c.want.Actor, c.want.Cluster, c.want.Source, c.want.Received = "ann@example.org", "prod-1", "audit/prod-1", received
			c.want.Time = time.Date(2026, 11, 16, 9, 0, 0, 0, time.UTC)
			if diff := cmp.Diff([]schema.Event{c.want}, events, cmpopts.IgnoreFields(schema.Event{}, "ID")); diff != "" {
				t.Errorf("event differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMalformedLinesAreCountedAndPlaced(t *testing.T) {
	lines := []string{line("a", ""), `{"kind":"Event","aud`, line("b", ""), `no JSON`, `{"kind":"Event"}`, line("c", "") + "x", line("d", `"verb":7`), line("e", "")}
	events, summary, err := importText(t, strings.Join(lines, "\n")+"\n", func(cfg *ImportConfig) { cfg.Format = FormatJSONLines })
	if err != nil || ids(events) != "a b c e" {
		t.Fatalf("events %q, error %v", ids(events), err)
	}
	var places []int
	for _, fault := range summary.Malformed {
		places = append(places, fault.Line)
	}
	if diff := cmp.Diff([]int{2, 4, 5, 6, 7}, places); diff != "" || summary.LeftOut[LeftOutMalformed] != 5 {
		t.Errorf("malformed %d, places differ (-want +got):\n%s", summary.LeftOut[LeftOutMalformed], diff)
	}
	want := "9 records in 1 files, 4 taken as usage events\n  left out        5  malformed\n  malformed: standard input, line 2\n"
	if got := summary.String(); !strings.HasPrefix(got, want) {
		t.Errorf("summary:\n%swant it to begin with:\n%s", got, want)
	}
}

func TestLongAndCutDocuments(t *testing.T) {
	long := newSplitter(strings.NewReader(strings.Repeat("x", 300<<10) + "\n{}\n{\n\"a\":\"" + strings.Repeat("x", 300<<10) + "\"\n}\n{}\n{\n"))
	long.limit = 256 << 10
	var got []string
	for {
		chunk, err := long.next()
		switch {
		case errors.Is(err, errTooLong), errors.Is(err, errCut):
			got = append(got, fmt.Sprintf("%d: %v", long.first, err))
		case err != nil:
			want := []string{"1: " + errTooLong.Error(), "2: {}", "3: " + errTooLong.Error(), "5: }", "6: {}", "7: " + errCut.Error()}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("chunks differ (-want +got):\n%s", diff)
			}
			return
		default:
			got = append(got, fmt.Sprintf("%d: %s", long.first, chunk))
		}
	}
}

func TestAFileIsGoneOnWith(t *testing.T) {
	dir := t.TempDir()
	path, offsetFile := filepath.Join(dir, "audit.log"), filepath.Join(dir, "offsets.json")
	run := func(content string) (string, Summary) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		events, summary, err := importText(t, "", func(cfg *ImportConfig) { cfg.Files, cfg.OffsetFile = []string{path}, offsetFile })
		if err != nil {
			t.Fatal(err)
		}
		return ids(events), summary
	}
	first := line("a", "") + "\n" + line("b", "") + "\n"
	if got, _ := run(first); got != "a b" {
		t.Fatalf("first run: %q", got)
	}
	if got, summary := run(first); got != "" || summary.Resumed != int64(len(first)) {
		t.Errorf("the same again: %q, %d bytes passed over", got, summary.Resumed)
	}
	half := line("c", "")
	if got, _ := run(first + half[:100]); got != "" {
		t.Errorf("while a line is being written: %q", got)
	}
	if got, _ := run(first + half + "\n" + line("d", "") + "\nbad\n"); got != "c d" {
		t.Errorf("once it is written: %q", got)
	}
	if got, summary := run(line("x", "") + "\n" + line("y", "")); got != "x y" || summary.Resumed != 0 {
		t.Errorf("another file of that name: %q, %d bytes passed over", got, summary.Resumed)
	}
}

// TestAFileThatWasReadAsAnotherFormatIsReadAgain does so only when that has given nothing: what was handed over is not handed over again.
func TestAFileThatWasReadAsAnotherFormatIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "gke.json")
	if err := os.WriteFile(path, []byte(gkeLine+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		format  Format
		ids     string
		leftOut int
	}{{FormatAKS, "", 1}, {FormatAKS, "", 0}, {FormatGKE, "g1", 0}, {FormatAKS, "", 0}, {FormatAuto, "", 0}, {FormatGKE, "", 0}} {
		events, summary, err := importText(t, "", func(cfg *ImportConfig) {
			cfg.Files, cfg.OffsetFile, cfg.Format = []string{path}, filepath.Join(dir, "offsets.json"), c.format
		})
		if err != nil || ids(events) != c.ids || summary.LeftOut[LeftOutOtherLogEntry] != c.leftOut {
			t.Errorf("as %s: %q, %+v, %v; want %q", c.format, ids(events), summary, err, c.ids)
		}
	}
}

func TestAFailedImportRepeatsNothingOfWhatWasHandedOver(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log.gz")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	const n = 3*importBatch + 7
	for i := range n {
		fmt.Fprintln(z, line(fmt.Sprint(i), ""))
	}
	_ = z.Close()
	if err := os.WriteFile(path, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	sink := &memorySink{}
	var progress []Progress
	cfg := ImportConfig{
		Files: []string{path}, Cluster: "prod-1", Sink: sink, OffsetFile: filepath.Join(dir, "offsets.json"),
		Validate: func(*schema.Event) error { return nil }, Progress: func(p Progress) { progress = append(progress, p) },
	}
	broken := errors.New("broken")
	cfg.Sink = sinkFunc(func(ctx context.Context, b schema.Batch) error {
		if len(sink.batches) == 2 {
			return broken
		}
		return sink.Append(ctx, b)
	})
	if summary, err := Import(t.Context(), cfg); !errors.Is(err, broken) || summary.Records == 0 {
		t.Fatalf("summary %+v, error %v, want %v", summary, err, broken)
	}
	cfg.Sink = sink
	if _, err := Import(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, e := range sink.events() {
		seen[e.ID]++
	}
	if len(seen) != n || len(sink.events()) != n {
		t.Errorf("%d events, %d of them different, want %d", len(sink.events()), len(seen), n)
	}
	if last := progress[len(progress)-1]; last.Size != int64(packed.Len()) || last.Read != last.Size {
		t.Errorf("last progress %+v, want all %d bytes", last, packed.Len())
	}
}

type sinkFunc func(context.Context, schema.Batch) error

func (f sinkFunc) Append(ctx context.Context, b schema.Batch) error { return f(ctx, b) }

func TestAFullSinkIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		_, summary, err := importText(t, line("a", ""), func(cfg *ImportConfig) {
			cfg.Sink = sinkFunc(func(context.Context, schema.Batch) error {
				if attempts++; attempts < 4 {
					return collectors.ErrFull
				}
				return nil
			})
		})
		if err != nil || attempts != 4 || summary.Taken != 1 {
			t.Errorf("%d attempts, summary %+v, error %v", attempts, summary, err)
		}
	})
}

func TestImportRefusesAnUnknownFormat(t *testing.T) {
	_, _, err := importText(t, "", func(cfg *ImportConfig) { cfg.Format = "csv" })
	if want := `format "csv": want one of [auto json-lines eks aks gke]`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}

func TestImportRefusesABrokenOffsetFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "offsets.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := importText(t, "", func(cfg *ImportConfig) { cfg.OffsetFile = path }); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("error %v", err)
	}
}

func FuzzImport(f *testing.F) {
	for _, seed := range []string{
		line("a", "") + "\n", gkeCreate, "[\n" + gkeCreate + "\n]", "2026-11-16T09:00:00.000Z " + line("a", ""),
		`{"records":[{"category":"kube-audit","properties":{"log":"{}"}}]}`, `{"events":[{"message":"{}"}]}`, "{\n{\n}}\n]\n[[[",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		events, summary, err := importText(t, string(text), nil)
		if err != nil && !bytes.HasPrefix(text, []byte{0x1f, 0x8b}) && !bytes.HasPrefix(text, []byte{0x28, 0xb5}) {
			t.Errorf("error %v", err)
		}
		left := 0
		for _, n := range summary.LeftOut {
			left += n
		}
		if len(events) != summary.Taken || summary.Taken+left != summary.Records {
			t.Errorf("%d events, %d left out, summary %+v", len(events), left, summary)
		}
	})
}
