package dashboards

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"testing"
)

// echartsDigest is that of the file as the npm package has it; assets/echarts/README.md says how both are renewed.
const echartsDigest = "55974cf42cc160e6cf9099cd3ed8cdedfaa9779919fcee7e2272c85f6ca30e27"

func TestEChartsIsTheFileThatItsReadmeNames(t *testing.T) {
	content := assets()["echarts.js"].content
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != echartsDigest {
		t.Errorf("echarts.common.min.js has the digest %x: see assets/echarts/README.md", sum)
	}
	readme, err := os.ReadFile("assets/echarts/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range [][]byte{[]byte("5.6.0")} {
		if !bytes.Contains(content, version) || !bytes.Contains(readme, version) {
			t.Errorf("the file and its README do not both say version %s", version)
		}
	}
	for _, notice := range []string{"LICENSE", "NOTICE", "LICENSE-d3"} {
		if _, err := os.Stat("assets/echarts/" + notice); err != nil {
			t.Errorf("the notice is missing: %v", err)
		}
	}
}
