package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/kubevalue/kubevalue/reports/render"
	"github.com/kubevalue/kubevalue/schema"
)

// postbox is a real SMTP server that keeps what it accepts, and refuses what it is told to.
type postbox struct {
	mu    sync.Mutex
	mails []received
	// rcpt and data decide about a recipient at RCPT TO and after the message; nil accepts. greet delays or refuses connections.
	rcpt, data  func(to string) error
	connections int
	login       string // "user:password" that is asked for; empty: none
}

type received struct {
	From, To string
	Data     []byte
	TLS      bool
}

func (p *postbox) accepted(to string) []received {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []received
	for _, m := range p.mails {
		if to == "" || m.To == to {
			out = append(out, m)
		}
	}
	return out
}

func (p *postbox) server() *smtp.Server {
	s := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		p.mu.Lock()
		p.connections++
		p.mu.Unlock()
		_, isTLS := c.TLSConnectionState()
		return &session{box: p, tls: isTLS}, nil
	}))
	s.Domain = "mx.example.com"
	s.ErrorLog = log.New(io.Discard, "", 0)
	return s
}

type session struct {
	box      *postbox
	from, to string
	tls      bool
	loggedIn bool
}

func (s *session) Reset()        { s.from, s.to = "", "" }
func (s *session) Logout() error { return nil }

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user+":"+password != s.box.login {
			return smtp.ErrAuthFailed
		}
		s.loggedIn = true
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.box.login != "" && !s.loggedIn {
		return smtp.ErrAuthRequired
	}
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	if s.box.rcpt != nil {
		return s.box.rcpt(to)
	}
	return nil
}

func (s *session) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if s.box.data != nil {
		if err := s.box.data(s.to); err != nil {
			return err
		}
	}
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	s.box.mails = append(s.box.mails, received{From: s.from, To: s.to, Data: data, TLS: s.tls})
	return nil
}

func refuse(code int, message string) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}, Message: message}
}

// pipes is a listener in memory, so that a conversation has no other clock than the test's.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 25} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	server, client := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serve runs the postbox in memory until the test ends.
func (p *postbox) serve(t *testing.T) *pipes {
	l := newPipes()
	srv := p.server()
	var running sync.WaitGroup
	running.Go(func() { _ = srv.Serve(l) })
	t.Cleanup(func() { _ = srv.Close(); _ = l.Close(); running.Wait() })
	return l
}

// listen runs the postbox on a loopback port until the test ends, with STARTTLS when a configuration is given.
func (p *postbox) listen(t *testing.T, cfg *tls.Config) (port int) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := p.server()
	srv.TLSConfig = cfg
	var running sync.WaitGroup
	running.Go(func() { _ = srv.Serve(l) })
	t.Cleanup(func() { _ = srv.Close(); running.Wait() })
	return l.Addr().(*net.TCPAddr).Port
}

// memoryLog is a delivery log that outlives senders, as the warehouse's does.
type memoryLog struct {
	mu      sync.Mutex
	rows    map[string]schema.Delivery
	history []schema.Delivery
	fail    func(d schema.Delivery) error
}

func (l *memoryLog) PutDelivery(ctx context.Context, d schema.Delivery) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		if err := l.fail(d); err != nil {
			return err
		}
	}
	if l.rows == nil {
		l.rows = map[string]schema.Delivery{}
	}
	l.rows[deliveryKey(d.Report, d.Period, d.Recipient)] = d
	l.history = append(l.history, d)
	return nil
}

func (l *memoryLog) Delivery(_ context.Context, report, period, rcpt string) (schema.Delivery, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d, ok := l.rows[deliveryKey(report, period, rcpt)]
	return d, ok, nil
}

func (l *memoryLog) status(rcpt string) schema.DeliveryStatus {
	d, _, _ := l.Delivery(context.Background(), weekly.Report, weekly.Period, rcpt)
	return d.Status
}

// states is the log's history as "recipient status".
func (l *memoryLog) states() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, d := range l.history {
		name, _, _ := strings.Cut(d.Recipient, "@")
		out = append(out, name+" "+string(d.Status))
	}
	return out
}

var weekly = Mailing{
	Report: "weekly/managers", Period: "2026-W46",
	Message: render.Mail{
		Subject: "kubevalue: Woche 46 – Überblick", Text: "Adoption 57.5 %\n", HTML: `<p>Adoption 57.5 %</p><img src="cid:adoption" alt="Adoption rose">`,
		Images: []render.Image{{ContentID: "adoption", Name: "adoption.png", PNG: []byte("\x89PNG\r\n\x1a\nnot quite")}},
	},
}

func to(addresses ...string) Mailing {
	m := weekly
	m.Recipients = addresses
	return m
}

func newSender(t *testing.T, cfg Config) *Sender {
	t.Helper()
	if cfg.Host == "" {
		cfg.Host = "mx.example.com"
	}
	if cfg.From == "" {
		cfg.From = "kubevalue <kubevalue@example.com>"
	}
	if cfg.TLS == "" {
		cfg.TLS = TLSNone
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s, err := NewSender(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
