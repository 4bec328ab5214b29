package pipeline_test

import (
	"testing"

	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

func TestMain(m *testing.M) { warehousetest.Main(m) }
