//go:build e2e

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/kubevalue/kubevalue/slo/freeport"
)

// process is a program that a test runs and looks after.
type process struct {
	cmd   *exec.Cmd
	log   *syncBuffer
	done  chan struct{}
	stdin io.WriteCloser
	lines *bufio.Reader
}

// syncBuffer is a bytes.Buffer that can be read while a process writes to it.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// start runs a program; it is killed at the end of the test, and its log is shown when the test fails.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(name, args...), log: &syncBuffer{}, done: make(chan struct{})}
	p.cmd.Stderr = p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.stop(t, syscall.SIGTERM)
		if t.Failed() {
			t.Logf("log of %s:\n%s", filepath.Base(name), tail(p.log.String(), 8000))
		}
	})
	return p
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// stop signals the process and waits until it has ended.
func (p *process) stop(t *testing.T, sig os.Signal) {
	t.Helper()
	if p.cmd.ProcessState != nil {
		return
	}
	_ = p.cmd.Process.Signal(sig)
	_ = p.stdin.Close()
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Errorf("%s did not end within %s of %v", p.cmd.Path, patience, sig)
		must(t, "kill it", p.cmd.Process.Kill())
		<-p.done
	}
}

// patience is how long a test waits for anything: on a machine that is slow, busy and has a slow disk, what takes a second elsewhere takes minutes.
const patience = 5 * time.Minute

// eventually repeats check until it returns nil; a test that waits says for what.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, patience, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// testCA makes a certificate for 127.0.0.1 that is its own authority.
func testCA(t *testing.T, dir string) (certFile, keyFile string, client *http.Client) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubevalue e2e"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	writeFile(t, certFile, string(certPEM))
	writeFile(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return certFile, keyFile, &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// controlPlane is a real Kubernetes control plane, run by the kubetest program.
type controlPlane struct {
	*process
	Server string `json:"server"`
	CAFile string `json:"ca_file"`
	Admin  struct {
		Token      string `json:"token"`
		Kubeconfig string `json:"kubeconfig"`
	} `json:"admin"`
	URLs map[string]string `json:"urls"`
}

// startControlPlane builds what is missing and starts it, with further flags of `kubetest up`.
func startControlPlane(t *testing.T, dir string, flags ...string) *controlPlane {
	t.Helper()
	build := exec.Command("go", "run", ".", "build")
	build.Dir = filepath.Join("..", "..", "collectors", "kube", "kubetest")
	build.Stderr = os.Stderr
	out, err := build.Output()
	if err != nil {
		t.Fatalf("build the control plane: %v", err)
	}
	var built struct {
		Kubetest string `json:"kubetest"`
	}
	if err := json.Unmarshal(out, &built); err != nil {
		t.Fatalf("kubetest build printed %q: %v", out, err)
	}
	cp := &controlPlane{process: start(t, built.Kubetest, append([]string{"up", "--dir", filepath.Join(dir, "controlplane")}, flags...)...)}
	line, err := cp.lines.ReadBytes('\n')
	if err != nil {
		t.Fatalf("the control plane did not start: %v\n%s", err, cp.log)
	}
	if err := json.Unmarshal(line, cp); err != nil {
		t.Fatalf("kubetest printed %q: %v", line, err)
	}
	return cp
}

// planeAnswer is what the control plane says to an order.
type planeAnswer struct {
	Event     string    `json:"event"`
	Error     string    `json:"error"`
	UnreadyAt time.Time `json:"unready_at"`
	ReadyAt   time.Time `json:"ready_at"`
}

// tell gives the control plane an order, such as "stop apiserver", and returns when it is carried out.
func (cp *controlPlane) tell(t *testing.T, order string) planeAnswer {
	t.Helper()
	if _, err := io.WriteString(cp.stdin, order+"\n"); err != nil {
		t.Fatal(err)
	}
	line, err := cp.lines.ReadBytes('\n')
	var a planeAnswer
	if err == nil {
		err = json.Unmarshal(line, &a)
	}
	if err != nil || a.Event == "error" {
		t.Fatalf("%s: %s %v", order, line, err)
	}
	return a
}

// kubevalue runs a command of the program and returns its standard output; it must succeed.
func kubevalue(t *testing.T, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(kubevalueBinary(t), args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kubevalue %s: %v\n%s\n%s", strings.Join(args, " "), err, out, &stderr)
	}
	return string(out)
}

// mailbox is an SMTP server that keeps what arrives.
type mailbox struct {
	mu    sync.Mutex
	mails []received
}

type received struct {
	from, to string
	data     []byte
}

func startMailbox(t *testing.T) (*mailbox, int) {
	t.Helper()
	m := &mailbox{}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &mailSession{box: m}, nil }))
	server.Domain = "localhost"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return m, l.Addr().(*net.TCPAddr).Port
}

func (m *mailbox) all() []received {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]received(nil), m.mails...)
}

type mailSession struct {
	box *mailbox
	r   received
}

func (s *mailSession) Mail(from string, _ *smtp.MailOptions) error { s.r.from = from; return nil }
func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error   { s.r.to = to; return nil }
func (s *mailSession) Reset()                                      { s.r = received{} }
func (s *mailSession) Logout() error                               { return nil }
func (s *mailSession) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.r.data = data
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	s.box.mails = append(s.box.mails, s.r)
	return nil
}

// startAlertmanager runs Debian's Alertmanager and returns its address.
func startAlertmanager(t *testing.T, dir string) string {
	t.Helper()
	url := runAlertmanager(t, dir, "route: {receiver: none}\nreceivers: [{name: none}]\n", "--cluster.listen-address=")
	awaitAlertmanager(t, url)
	return url
}

// runAlertmanager starts one with a configuration, and does not wait for it.
func runAlertmanager(t *testing.T, dir, text string, flags ...string) (url string) {
	t.Helper()
	config := filepath.Join(dir, "alertmanager.yml")
	writeFile(t, config, text)
	url = fmt.Sprintf("http://127.0.0.1:%d", freeport.Get(t))
	start(t, "/usr/bin/prometheus-alertmanager", append([]string{"--config.file=" + config, "--storage.path=" + filepath.Join(dir, "alertmanager"),
		"--web.listen-address=" + strings.TrimPrefix(url, "http://")}, flags...)...)
	return url
}

func awaitAlertmanager(t *testing.T, url string) {
	t.Helper()
	eventually(t, "Alertmanager is ready", func() error {
		_, err := getBody(t.Context(), http.DefaultClient, url+"/-/ready")
		return err
	})
}

// getBody is the body of a 200 answer.
func getBody(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s: %s", url, resp.Status, tail(string(body), 500))
	}
	return body, err
}
