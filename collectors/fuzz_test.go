package collectors

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// FuzzReadBody unpacks whatever comes: within the limits, with a known refusal, and with nothing left in memory.
func FuzzReadBody(f *testing.F) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write(bytes.Repeat([]byte("a"), 1<<16))
	_ = w.Close()
	f.Add(packed.Bytes(), "gzip")
	z, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(z.EncodeAll(bytes.Repeat([]byte("b"), 1<<16), nil), "zstd")
	f.Add([]byte(`{"name":"a"}`), "")
	f.Add([]byte("x"), "br")
	limits := BodyLimits{Wire: 1 << 12, Decoded: 1 << 14, Timeout: time.Second}
	f.Fuzz(func(t *testing.T, body []byte, encoding string) {
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("Content-Encoding", encoding)
		memory := NewBodyMemory(1 << 20)
		got, release, err := ReadBody(httptest.NewRecorder(), r, limits, memory)
		if err != nil {
			if !errors.Is(err, ErrBodyTooLarge) && !errors.Is(err, ErrBodyEncoding) && !errors.Is(err, ErrBodyCorrupt) {
				t.Fatalf("an unknown refusal: %v", err)
			}
			if memory.Held() != 0 {
				t.Fatalf("%d bytes are held after a refusal", memory.Held())
			}
			return
		}
		if int64(len(got)) > limits.Decoded || int64(len(body)) > limits.Wire {
			t.Fatalf("%d bytes, %d unpacked, are over the limits", len(body), len(got))
		}
		if release(); memory.Held() != 0 {
			t.Fatalf("%d bytes are held after the release", memory.Held())
		}
	})
}

// FuzzJSONCursor agrees with encoding/json on what a document is, and on its elements.
func FuzzJSONCursor(f *testing.F) {
	for _, seed := range []string{`[1,{"a":[true,null]},"x\u00e9"]`, `[]`, `[`, `[1,]`, ` [ {} ] `, `[1] 2`, `["\ud800"]`, `[[[[[[]]]]]]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		var got []json.RawMessage
		cursor := NewJSONCursor(document)
		err := cursor.Array(func() error {
			raw, err := cursor.Raw()
			got = append(got, bytes.Clone(raw))
			return err
		})
		if err == nil {
			err = cursor.End()
		}
		var want []json.RawMessage
		valid := json.Unmarshal(document, &want) == nil && want != nil
		if !valid {
			return // the cursor may be more lenient within elements, whose own decoder refuses them
		}
		if err != nil {
			t.Fatalf("%q is an array, but: %v", document, err)
		}
		if len(got) != len(want) {
			t.Fatalf("%d elements, want %d", len(got), len(want))
		}
		for i := range want {
			if !bytes.Equal(bytes.TrimSpace(got[i]), bytes.TrimSpace(want[i])) {
				t.Fatalf("element %d is %q, want %q", i, got[i], want[i])
			}
		}
	})
}

// FuzzTokenFile lets nobody in by a file that is broken.
func FuzzTokenFile(f *testing.F) {
	f.Add([]byte(`{"version":1,"tokens":[{"name":"a","source":"a","endpoints":["events"],"expires":"2099-01-01T00:00:00Z","created":"2026-01-01T00:00:00Z","hash":"00"}]}`))
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "tokens.json")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := OpenTokens(path, time.Now)
		if err != nil {
			return
		}
		if _, err := s.Authenticate(context.Background(), TokenPrefix+"x", EndpointEvents); err == nil {
			t.Fatalf("%q let an unknown token in", text)
		}
	})
}
