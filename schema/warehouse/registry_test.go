package warehouse_test

import (
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

func TestARegistryIsReplacedAsAWhole(t *testing.T) {
	db := warehousetest.Open(t)
	put := func(want bool, rows ...schema.Capability) {
		t.Helper()
		changed, err := db.PutCapabilities(t.Context(), noon, rows)
		if err != nil || changed != want {
			t.Fatalf("changed %v, want %v, error %v", changed, want, err)
		}
	}
	const read = "SELECT groupArray((toString(name), title, toString(owner), events, toUnixTimestamp(valid_from), toUnixTimestamp(valid_to))) FROM (SELECT * FROM capabilities_current ORDER BY name)"
	rows := func(sql string) any {
		t.Helper()
		result, err := db.Query(t.Context(), "SELECT toString(("+sql+"))", nil)
		if err != nil {
			t.Fatal(err)
		}
		return result.Rows[0][0]
	}
	deploy := schema.Capability{Name: "deploy", Title: "Deploy", Owner: "platform", Events: []string{"deployments.create", "deployments.update"}}
	logs := schema.Capability{Name: "logs", Events: []string{"logs.query"}, From: noon, To: noon.Add(time.Hour)}
	put(false)
	put(true, deploy)
	put(false, deploy)
	put(true, logs, deploy)
	want := "[('deploy','Deploy','platform',['deployments.create','deployments.update'],0,4102444800),('logs','','',['logs.query'],1794312000,1794315600)]"
	if got := rows(read); got != want {
		t.Errorf("capabilities\n%v, want\n%s", got, want)
	}
	put(true)
	if got := rows(read); got != "[]" {
		t.Errorf("capabilities %v, want none", got)
	}
	if _, err := db.PutCapabilities(t.Context(), noon, []schema.Capability{{Name: "x"}}); err == nil {
		t.Error("a capability without events was stored")
	}
}
