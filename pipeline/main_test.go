package pipeline_test

import (
	"os"
	"testing"

	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(serviceEnv); text != "" {
		os.Exit(serve(text))
	}
	warehousetest.Main(m)
}
