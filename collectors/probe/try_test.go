package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHTTPTargets(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/login":
			http.Redirect(w, r, "/missing", http.StatusFound)
		case "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		case "/short":
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("only this"))
		case "/long":
			_, _ = w.Write([]byte(strings.Repeat("x", 1<<20)))
		case "/slow":
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case "/post":
			if r.Method != http.MethodPost {
				w.WriteHeader(http.StatusMethodNotAllowed)
			}
		case "/bearer":
			if r.Header.Get("Authorization") != "Bearer s3cret" {
				w.WriteHeader(http.StatusUnauthorized)
			}
		}
	})
	for name, c := range map[string]struct {
		path   string
		change Target
		good   bool
		status int
		says   string
	}{
		"answers":               {path: "/", good: true, status: 200},
		"fails":                 {path: "/broken", status: 500, says: "status 500: want 200 to 299"},
		"fails as expected":     {path: "/broken", change: Target{Status: []int{500, 503}}, good: true, status: 500},
		"not as expected":       {path: "/", change: Target{Status: []int{201, 204}}, status: 200, says: "want 201 204"},
		"redirects":             {path: "/login", status: 302, says: "status 302"},
		"redirects as expected": {path: "/login", change: Target{Status: []int{302}}, good: true, status: 302},
		"is cut short":          {path: "/short", status: 200, says: "unexpected EOF"},
		"is longer than read":   {path: "/long", change: Target{MaxBody: 10}, good: true, status: 200},
		"never ends":            {path: "/slow", change: Target{Timeout: 50 * time.Millisecond}, status: 200, says: "deadline"},
		"other method":          {path: "/post", change: Target{Method: http.MethodPost}, good: true, status: 200},
		"bearer token":          {path: "/bearer", change: Target{BearerTokenFile: write(t, "token", "s3cret\n")}, good: true, status: 200},
	} {
		t.Run(name, func(t *testing.T) {
			target := c.change
			target.Name, target.Kind, target.Address = "t", KindHTTP, server.URL+c.path
			r := Try(t.Context(), target)
			if r.Good != c.good || r.Status != c.status || r.Took <= 0 {
				t.Errorf("result %+v, want good %v, status %d", r, c.good, c.status)
			}
			if !c.good && (errors.Is(r.Err, ErrNotTried) || !strings.Contains(r.Err.Error(), c.says)) {
				t.Errorf("error %v, want a failure with %q", r.Err, c.says)
			}
		})
	}
}

func TestAPIServerTargets(t *testing.T) {
	status := http.StatusOK
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/base/readyz" {
			status = http.StatusNotFound
		}
		w.WriteHeader(status)
	})
	target := Target{Name: "t", Kind: KindAPIServer, Address: server.URL + "/base/"}
	if r := Try(t.Context(), target); !r.Good {
		t.Errorf("result %+v, want good", r)
	}
	status = http.StatusNoContent // 2xx, but a ready apiserver says 200
	if r := Try(t.Context(), target); r.Good || !strings.Contains(r.Err.Error(), "want 200") {
		t.Errorf("result %+v, want a failure", r)
	}
}

func TestTLSTargets(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/certificate" && len(r.TLS.PeerCertificates) == 0 {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	certificate := server.Certificate()
	ca := write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})))
	cert, key := clientCertificate(t)
	for name, c := range map[string]struct {
		change Target
		path   string
		good   bool
		own    bool
	}{
		"known CA":              {change: Target{CAFile: ca}, good: true},
		"unknown CA":            {},
		"any certificate":       {change: Target{InsecureSkipVerify: true}, good: true},
		"another name":          {change: Target{CAFile: ca, ServerName: "elsewhere.example"}},
		"the right name":        {change: Target{CAFile: ca, ServerName: "example.com"}, good: true},
		"client certificate":    {change: Target{CAFile: ca, CertFile: cert, KeyFile: key}, path: "/certificate", good: true},
		"CA file is missing":    {change: Target{CAFile: ca + ".missing"}, own: true},
		"CA file is broken":     {change: Target{CAFile: write(t, "broken.pem", "x")}, own: true},
		"token file is missing": {change: Target{CAFile: ca, BearerTokenFile: ca + ".missing"}, own: true},
		"key file is broken":    {change: Target{CAFile: ca, CertFile: cert, KeyFile: ca}, own: true},
	} {
		t.Run(name, func(t *testing.T) {
			target := c.change
			target.Name, target.Kind, target.Address = "t", KindHTTP, server.URL+c.path
			r := Try(t.Context(), target)
			if r.Good != c.good || errors.Is(r.Err, ErrNotTried) != c.own {
				t.Errorf("result %+v, want good %v, our own fault %v", r, c.good, c.own)
			}
			if c.good && !r.TLSExpiry.Equal(certificate.NotAfter) {
				t.Errorf("certificates end %s, want %s", r.TLSExpiry, certificate.NotAfter)
			}
		})
	}
}

func TestTheFirstEndOfAChainCounts(t *testing.T) {
	early, late := time.Unix(1000, 0), time.Unix(2000, 0)
	for _, chain := range [][]*x509.Certificate{{{NotAfter: early}, {NotAfter: late}}, {{NotAfter: late}, {NotAfter: early}}} {
		if got := expiry(&tls.ConnectionState{PeerCertificates: chain}); !got.Equal(early) {
			t.Errorf("the chain ends %s, want %s", got, early)
		}
	}
	if got := expiry(nil); !got.IsZero() {
		t.Errorf("no TLS: %s", got)
	}
}

func TestTCPTargets(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := Target{Name: "t", Kind: KindTCP, Address: listener.Addr().String()}
	if r := Try(t.Context(), target); !r.Good {
		t.Errorf("result %+v, want good", r)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if r := Try(t.Context(), target); r.Good || errors.Is(r.Err, ErrNotTried) || !errors.Is(r.Err, syscall.ECONNREFUSED) {
		t.Errorf("result %+v, want a refused connection", r)
	}
}

func TestOwnFaultsAreNotTheTargets(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := Try(ctx, Target{Name: "t", Kind: KindTCP, Address: "127.0.0.1:1"}); !errors.Is(r.Err, ErrNotTried) {
		t.Errorf("cancelled: error %v, want %v", r.Err, ErrNotTried)
	}
	for err, want := range map[error]bool{
		&net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)}:         true,
		&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)}: true,
		&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}:  false,
		&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}:   false,
		&net.DNSError{Err: "no such host", IsNotFound: true}:                                false,
	} {
		if got := isOurFault(err); got != want {
			t.Errorf("%v: our fault %v, want %v", err, got, want)
		}
	}
}
