package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// relay is the SMTP server, and how to talk to it.
type relay struct {
	client *gomail.Client
	dkim   *gomail.DKIMSigner
}

func newRelay(cfg Config) (*relay, error) {
	opts := []gomail.Option{
		gomail.WithPort(cfg.Port), gomail.WithTimeout(cfg.Timeout), gomail.WithoutNoop(), gomail.WithoutRset(),
	}
	switch cfg.TLS {
	case TLSMandatory:
		opts = append(opts, gomail.WithTLSPolicy(gomail.TLSMandatory))
	case TLSOpportunistic:
		opts = append(opts, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	case TLSImplicit:
		opts = append(opts, gomail.WithSSL())
	case TLSNone:
		opts = append(opts, gomail.WithTLSPolicy(gomail.NoTLS))
	}
	if cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("smtp ca_file: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("smtp ca_file %s holds no certificate in PEM", cfg.CAFile)
		}
		opts = append(opts, gomail.WithTLSConfig(&tls.Config{RootCAs: pool, ServerName: cfg.Host, MinVersion: tls.VersionTLS12}))
	}
	if cfg.Username != "" {
		opts = append(opts, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(cfg.Username), gomail.WithPassword(cfg.Password))
	}
	if cfg.dial != nil {
		opts = append(opts, gomail.WithDialContextFunc(cfg.dial))
	}
	client, err := gomail.NewClient(cfg.Host, opts...)
	if err != nil {
		return nil, fmt.Errorf("smtp settings: %w", err)
	}
	r := &relay{client: client}
	if cfg.DKIM != nil {
		if r.dkim, err = newSigner(*cfg.DKIM, cfg); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// signedHeaders are what a signature covers; RFC 8058 asks for both unsubscribe headers. go-mail signs the unfolded field
// and then folds it at 76 columns, also inside a name, which breaks the signature: so the list must fit into one line.
var signedHeaders = []string{"From", "To", "Subject", "Date", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post"}

// maxDKIMName is the longest domain or selector that is safe from that folding.
const maxDKIMName = 70

// newSigner reads the key.
func newSigner(d DKIM, cfg Config) (*gomail.DKIMSigner, error) {
	pem, err := os.ReadFile(d.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("dkim key_file: %w", err)
	}
	key, err := gomail.PrivKeyFromPEM(pem)
	if err != nil {
		return nil, fmt.Errorf("dkim key_file %s: %w; give an RSA or Ed25519 private key in PEM", d.KeyFile, err)
	}
	signer := gomail.NewDKIMSigner(d.Domain, d.Selector, key)
	signer.NowFunc = cfg.Now
	signer.SignHeaders(signedHeaders...)
	if len(d.Domain) > maxDKIMName || len(d.Selector) > maxDKIMName {
		return nil, fmt.Errorf("dkim domain %q or selector %q is longer than %d bytes", d.Domain, d.Selector, maxDKIMName)
	}
	if err := signer.ValidateConfig(); err != nil {
		return nil, fmt.Errorf("dkim settings (domain %q, selector %q): %w", d.Domain, d.Selector, err)
	}
	return signer, nil
}

// replyError is a reply of the server that refuses a message; its text begins with the code.
type replyError struct {
	code int
	text string
}

func (e replyError) Error() string { return fmt.Sprintf("%d: %s", e.code, e.text) }

// refusedForGood recognises the text of a replyError that the same message would get again.
var refusedForGood = regexp.MustCompile(`^5\d\d: `)

// unknownError means that the whole message was handed over and no answer came: it may or may not have been accepted.
type unknownError struct{ cause error }

func (e *unknownError) Error() string {
	return "the server did not say whether it accepted the message: " + e.cause.Error()
}

func (e *unknownError) Unwrap() error { return e.cause }

// maxBroken is how many connections may break in a round before the server counts as out of order. It keeps a server that
// hangs from costing one timeout per recipient.
const maxBroken = 3

// line is a connection that is opened when first needed and shared by the recipients of a round.
type line struct {
	relay  *relay
	conn   *smtp.Client
	used   bool // a message went over conn
	broken int
	err    error // why no further connection is tried in this round
}

func (r *relay) open() *line { return &line{relay: r} }

// ready connects, unless it is connected.
func (l *line) ready(ctx context.Context) error {
	if l.err != nil || l.conn != nil {
		return l.err
	}
	conn, err := l.relay.client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		l.err = fmt.Errorf("connecting to %s: %w", l.relay.client.ServerAddr(), err)
		return l.err
	}
	l.conn, l.used = conn, false
	return nil
}

// send has one conversation. It returns nil when the server accepted the message, a replyError when it refused it, an
// *unknownError when that cannot be known, and another error when the message was not handed over.
func (l *line) send(ctx context.Context, msg *gomail.Msg) error {
	used := l.used
	l.used = true
	err := l.relay.client.SendWithSMTPClient(l.conn, msg)
	if err == nil || msg.IsDelivered() {
		l.broken = 0
		return nil
	}
	var failed *gomail.SendError
	if !errors.As(err, &failed) {
		failed = &gomail.SendError{Reason: gomail.ErrAmbiguous}
	}
	text, _, _ := strings.Cut(err.Error(), ", affected ")
	if code := failed.ErrorCode(); code >= 400 {
		if code == 421 { // the server closes the connection
			l.cut()
		}
		return replyError{code: code, text: text}
	}
	l.cut()
	if used && (failed.Reason == gomail.ErrSMTPMailFrom || failed.Reason == gomail.ErrConnCheck) {
		// The server closed a connection that had done its work: nothing of this message was handed over.
		if err := l.ready(ctx); err != nil {
			return err
		}
		return l.send(ctx, msg)
	}
	if l.broken++; l.broken >= maxBroken {
		l.err = fmt.Errorf("%d connections to %s broke in a row, the last while %s", l.broken, l.relay.client.ServerAddr(), text)
	}
	if failed.Reason == gomail.ErrSMTPDataClose || failed.Reason == gomail.ErrAmbiguous {
		return &unknownError{cause: errors.New(text)}
	}
	return fmt.Errorf("the connection broke while %s", text)
}

// cut drops the connection. It must not quit: QUIT would end an unfinished message, and the server would take its first
// half for a mail.
func (l *line) cut() {
	_ = l.conn.Close()
	l.conn = nil
}

// close says goodbye. That a server does not answer to that changes nothing.
func (l *line) close() {
	if l.conn != nil {
		_ = l.relay.client.CloseWithSMTPClient(l.conn)
	}
}
