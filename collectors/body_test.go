package collectors

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

var smallLimits = BodyLimits{Wire: 1 << 20, Decoded: 2 << 20, Timeout: 100 * time.Millisecond}

func TestABodyIsReadWhole(t *testing.T) {
	for _, size := range []int{0, 1, 16<<10 - 1, 16 << 10, 16<<10 + 1, 1 << 20} {
		for _, announced := range []bool{true, false} {
			content := bytes.Repeat([]byte("x"), size)
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(content))
			if !announced {
				r.ContentLength = -1
			}
			memory := NewBodyMemory(4 << 20)
			body, release, err := ReadBody(httptest.NewRecorder(), r, smallLimits, memory)
			if err != nil || !bytes.Equal(body, content) {
				t.Fatalf("%d bytes, announced %v: got %d, error %v", size, announced, len(body), err)
			}
			if held := memory.Held(); held < int64(size) {
				t.Errorf("%d bytes are held for a body of %d", held, size)
			}
			release()
			release() // a second call gives nothing back
			if held := memory.Held(); held != 0 {
				t.Errorf("%d bytes are held after the release", held)
			}
		}
	}
}

func TestBodiesShareTheirMemory(t *testing.T) {
	memory := NewBodyMemory(1 << 20)
	request := func(size int) *http.Request {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(make([]byte, size)))
		r.ContentLength = -1
		return r
	}
	_, release, err := ReadBody(httptest.NewRecorder(), request(500<<10), smallLimits, memory)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReadBody(httptest.NewRecorder(), request(600<<10), smallLimits, memory); !errors.Is(err, ErrBusy) {
		t.Errorf("a second body beside the first: error %v, want %v", err, ErrBusy)
	}
	release()
	if held := memory.Held(); held != 0 {
		t.Errorf("%d bytes stay held", held)
	}
	_, release, err = ReadBody(httptest.NewRecorder(), request(600<<10), smallLimits, memory)
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	release()
}

func TestABombCostsNoMoreThanTheLimit(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	zeros := make([]byte, 1<<20)
	for range 100 {
		_, _ = z.Write(zeros)
	}
	_ = z.Close()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", &packed)
	r.Header.Set("Content-Encoding", "gzip")
	memory := NewBodyMemory(64 << 20)
	_, _, err := ReadBody(httptest.NewRecorder(), r, smallLimits, memory)
	if !errors.Is(err, ErrBodyTooLarge) || !strings.Contains(err.Error(), "2097152 bytes after decompression") {
		t.Errorf("error %v, want %v", err, ErrBodyTooLarge)
	}
	if memory.Held() != 0 {
		t.Errorf("%d bytes stay held", memory.Held())
	}
}

// answer gives what ReadBody says to a request that a function writes on a bare connection.
func answer(t *testing.T, write func(conn net.Conn)) (status int) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, release, err := ReadBody(w, r, smallLimits, nil)
		if err != nil {
			Refuse(w, err)
			return
		}
		release()
		// The server watches the connection: with the deadline still in force, it would end the context now.
		select {
		case <-r.Context().Done():
			w.WriteHeader(http.StatusTeapot)
		case <-time.After(2 * smallLimits.Timeout):
		}
	}))
	defer server.Close()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	write(conn)
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	reply, err := io.ReadAll(io.LimitReader(conn, 12))
	if err != nil || len(reply) < 12 {
		t.Fatalf("reply %q, error %v", reply, err)
	}
	return int(reply[9]-'0')*100 + int(reply[10]-'0')*10 + int(reply[11]-'0')
}

func TestASlowBodyIsCutOff(t *testing.T) {
	status := answer(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nonly this")
	})
	if status != http.StatusRequestTimeout {
		t.Errorf("status %d, want 408", status)
	}
}

func TestASlowAnswerKeepsItsContext(t *testing.T) {
	status := answer(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody")
	})
	if status != http.StatusOK {
		t.Errorf("status %d, want 200", status)
	}
}

func TestBearerToken(t *testing.T) {
	for header, want := range map[string]string{
		"Bearer abc": "abc", "bearer  abc ": "abc", "Basic abc": "", "Bearer": "", "": "", "abc": "",
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
		r.Header.Set("Authorization", header)
		if got := BearerToken(r); got != want {
			t.Errorf("%q: token %q, want %q", header, got, want)
		}
	}
}

func TestAJSONCursorWalksAndStopsAtFaults(t *testing.T) {
	c := NewJSONCursor([]byte(` {"a": [1, {"b":"]"}, "\""], "\u0062":{}} `))
	var seen []string
	err := c.Object(func(key string) error {
		if c.Peek() == '[' {
			return c.Array(func() error {
				raw, err := c.Raw()
				seen = append(seen, key+"="+string(raw))
				return err
			})
		}
		raw, err := c.Raw()
		seen = append(seen, key+"="+string(raw))
		return err
	})
	if got, want := strings.Join(seen, " "), `a=1 a={"b":"]"} a="\"" b={}`; err != nil || c.End() != nil || got != want {
		t.Errorf("seen %s, want %s; errors %v, %v", got, want, err, c.End())
	}
	for _, document := range []string{`{`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{a:1}`, `{"a":1]`, `{"a":1 "b":2}`, ``, `{1:2}`} {
		c.Reset([]byte(document))
		err := c.Object(func(string) error { _, err := c.Raw(); return err })
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.Offset > len(document) {
			t.Errorf("%s: error %v, want a syntax error within it", document, err)
		}
	}
}

func TestAJSONCursorPassesWhatDoesNotFit(t *testing.T) {
	c := NewJSONCursor([]byte(`[{"n":"x","more":[1,2]},{"n":3}]`))
	var got []int
	err := c.Array(func() error {
		var v struct {
			N int `json:"n"`
		}
		if err := c.Decode(&v); err != nil && !errors.Is(err, ErrJSONType) {
			return err
		}
		got = append(got, v.N)
		return nil
	})
	if err != nil || len(got) != 2 || got[1] != 3 {
		t.Errorf("values %v, error %v", got, err)
	}
}

// TestABodyHasZerosBehindIt reads bodies of announced and unknown length that fill their room.
func TestABodyHasZerosBehindIt(t *testing.T) {
	for _, size := range []int{1, 100, 16<<10 - 1, 16 << 10, 100_000} {
		for _, announced := range []bool{true, false} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(bytes.Repeat([]byte{'x'}, size)))
			if !announced {
				r.ContentLength = -1
			}
			body, release, err := ReadBody(httptest.NewRecorder(), r, BodyLimits{Wire: 1 << 20, Decoded: 1 << 20, Timeout: time.Minute}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(body) != size || cap(body)-size < BodySpare || !bytes.Equal(body[size:size+BodySpare], make([]byte, BodySpare)) {
				t.Errorf("%d bytes, announced %v: %d of %d in memory", size, announced, len(body), cap(body))
			}
			release()
		}
	}
}

// TestBodiesReuseMemory reads bodies in turn into each other's memory.
func TestBodiesReuseMemory(t *testing.T) {
	memory := NewBodyMemory(2 << 20)
	for i := range 200 {
		size := 20_000 + i*7919%100_000
		content := bytes.Repeat([]byte{byte('a' + i%26)}, size)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(content))
		if i%3 == 0 {
			r.ContentLength = -1
		}
		body, release, err := ReadBody(httptest.NewRecorder(), r, smallLimits, memory)
		if err != nil || !bytes.Equal(body, content) {
			t.Fatalf("body %d of %d bytes: got %d, error %v", i, size, len(body), err)
		}
		if !bytes.Equal(body[size:size+BodySpare], make([]byte, BodySpare)) {
			t.Fatalf("body %d of %d bytes: %q lies behind it", i, size, body[size:size+BodySpare])
		}
		if held := memory.Held(); held < int64(cap(body)-BodySpare) {
			t.Fatalf("body %d: %d bytes are held for %d in memory", i, held, cap(body))
		}
		ReuseBody(body)
		release()
	}
	if held := memory.Held(); held != 0 {
		t.Errorf("%d bytes are held after all", held)
	}
}

// TestSpareBytesAreZero has a document in front of another one in the same memory.
func TestSpareBytesAreZero(t *testing.T) {
	for _, memory := range [][]byte{[]byte("tru" + strings.Repeat("e", 2*BodySpare)), []byte("tru")} {
		document := WithSpare(memory[:3:len(memory)])
		if behind := document[3 : 3+BodySpare]; string(document) != "tru" || len(bytes.Trim(behind, "\x00")) > 0 {
			t.Errorf("%q, and behind it %q", document, behind)
		}
	}
}
