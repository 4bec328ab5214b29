package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/schema"
)

// FuzzConfiguration reads any text as a configuration, or says what is wrong with a place in the file.
func FuzzConfiguration(f *testing.F) {
	f.Add([]byte(exampleConfig))
	for _, pattern := range []string{"testdata/config/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("no seeds: %v", err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		cfg := defaults()
		file := decodeFile("fuzz.yaml", text, &cfg)
		cfg.dir = t.TempDir()
		if file.root != nil {
			cfg.check(file)
		}
		for _, fault := range file.faults {
			if fault.Message == "" || fault.Line < 0 {
				t.Fatalf("a fault without a message or a place: %+v", fault)
			}
		}
	})
}

// FuzzQuarantined reads any content of a quarantined record, or says that it cannot.
func FuzzQuarantined(f *testing.F) {
	f.Add("event", `{"id":"1","source":"web","name":"a","time":"2026-11-10T12:00:00Z"}`)
	f.Add("alias", `{"from":"a","to":"b"}`)
	f.Add("slice", `{"good":1e400}`)
	f.Add("segment", "AAAA")
	f.Fuzz(func(t *testing.T, kind, payload string) {
		var b schema.Batch
		got, err := add(&b, schema.Quarantined{ID: uuid.Nil, Kind: kind, Payload: payload})
		if err == nil && (b.Len() != 1 || got != kind) || err != nil && b.Len() != 0 {
			t.Fatalf("%d records of kind %q, %v", b.Len(), got, err)
		}
	})
}
