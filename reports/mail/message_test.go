package mail

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"mime"
	"mime/multipart"
	"net"
	netmail "net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/google/go-cmp/cmp"
)

func parse(t *testing.T, m received) *netmail.Message {
	t.Helper()
	msg, err := netmail.ReadMessage(bytes.NewReader(m.Data))
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// part is a leaf of a MIME tree; Path is its types from the root.
type part struct {
	Path, ContentID, Disposition, Body string
}

func parts(t *testing.T, contentType, encoding string, body []byte) []part {
	t.Helper()
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(kind, "multipart/") {
		if encoding == "base64" {
			if body, err = base64.StdEncoding.DecodeString(strings.ReplaceAll(string(body), "\r\n", "")); err != nil {
				t.Fatal(err)
			}
		}
		return []part{{Path: kind, Body: strings.TrimRight(string(body), "\r\n")}}
	}
	var out []part
	for r := multipart.NewReader(bytes.NewReader(body), params["boundary"]); ; {
		p, err := r.NextPart()
		if err != nil {
			return out
		}
		for _, leaf := range parts(t, p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), drain(t, p)) {
			leaf.Path = kind + " > " + leaf.Path
			if leaf.ContentID == "" {
				leaf.ContentID = p.Header.Get("Content-Id")
				leaf.Disposition, _, _ = strings.Cut(p.Header.Get("Content-Disposition"), ";")
			}
			out = append(out, leaf)
		}
	}
}

// authority is a certificate for 127.0.0.1 and the file that trusts it.
func authority(t *testing.T) (server *tls.Config, caFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mx"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	writePEM(t, caFile, "CERTIFICATE", der)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, caFile
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The whole way over a TCP socket: STARTTLS with a checked certificate, a password, a signed message, and what arrives.
func TestAMailArrivesWholeSignedAndEncrypted(t *testing.T) {
	box := &postbox{login: "kubevalue:s3cret"}
	serverTLS, caFile := authority(t)
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(t.TempDir(), "dkim.pem")
	writePEM(t, keyFile, "PRIVATE KEY", der)
	log := &memoryLog{}
	now := time.Date(2026, 11, 16, 6, 0, 0, 0, time.UTC)
	s := newSender(t, Config{
		Host: "127.0.0.1", Port: box.listen(t, serverTLS), TLS: TLSMandatory, CAFile: caFile, Username: "kubevalue", Password: "s3cret",
		ReplyTo: "platform@example.com", DKIM: &DKIM{Domain: "example.com", Selector: "kv", KeyFile: keyFile}, Log: log, UnsubscribeAt: "mailto:leave@example.com",
		Unsubscribe: &Unsubscribe{Endpoint: "https://kv.example.com/unsubscribe", Key: []byte("0123456789abcdef"), Log: log},
		Now:         func() time.Time { return now },
	})
	wantStrings(t, "outcome", statuses(mustSend(t, s, to("ann@example.com"), false)), "ann sent")
	mails := box.accepted("ann@example.com")
	if len(mails) != 1 || !mails[0].TLS || mails[0].From != "kubevalue@example.com" {
		t.Fatalf("accepted %d mails, want one over TLS from kubevalue@example.com", len(mails))
	}
	msg := parse(t, mails[0])
	checkHeaders(t, msg.Header, now)
	got := parts(t, msg.Header.Get("Content-Type"), "", drain(t, msg.Body))
	want := []part{
		{Path: "multipart/related > multipart/alternative > text/plain", Body: strings.TrimSpace(weekly.Message.Text)},
		{Path: "multipart/related > multipart/alternative > text/html", Body: weekly.Message.HTML},
		{Path: "multipart/related > image/png", ContentID: "<adoption>", Disposition: "inline", Body: string(weekly.Message.Images[0].PNG)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}

	checks, err := dkim.VerifyWithOptions(bytes.NewReader(mails[0].Data), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
		if name != "kv._domainkey.example.com" {
			t.Errorf("key asked for at %s", name)
		}
		return []string{"v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(pub)}, nil
	}})
	if err != nil || len(checks) != 1 || checks[0].Err != nil {
		t.Fatalf("signature: %v %v\n%s", err, checks[0].Err, mails[0].Data)
	}
	for _, h := range []string{"From", "To", "Subject", "Date", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post"} {
		if !slices.Contains(checks[0].HeaderKeys, h) {
			t.Errorf("the signature does not cover %s: %v", h, checks[0].HeaderKeys)
		}
	}
}

func checkHeaders(t *testing.T, h netmail.Header, now time.Time) {
	t.Helper()
	subject, err := new(mime.WordDecoder).DecodeHeader(h.Get("Subject"))
	if err != nil || subject != weekly.Message.Subject {
		t.Errorf("subject %q %v", subject, err)
	}
	if date, err := h.Date(); err != nil || !date.Equal(now) {
		t.Errorf("date %v %v, want the clock's %v", date, err, now)
	}
	for key, want := range map[string]string{
		"From": `"kubevalue" <kubevalue@example.com>`, "To": "<ann@example.com>", "Reply-To": "<platform@example.com>", "List-Id": "<weekly.managers.example.com>",
		"List-Unsubscribe-Post": "List-Unsubscribe=One-Click", "Auto-Submitted": "auto-generated",
	} {
		if got := h.Get(key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	if got := h.Get("List-Unsubscribe"); !strings.HasPrefix(got, "<https://kv.example.com/unsubscribe?mac=") || !strings.HasSuffix(got, ", <mailto:leave@example.com>") {
		t.Errorf("List-Unsubscribe: %q", got)
	}
	if id := h.Get("Message-Id"); !strings.HasSuffix(id, "@example.com>") || len(id) != 2+32+len("@example.com") {
		t.Errorf("Message-ID: %q", id)
	}
}

func TestAServerWithoutSTARTTLSGetsNothingUnlessAllowed(t *testing.T) {
	for policy, want := range map[TLSPolicy]string{TLSMandatory: "ann failed", TLSOpportunistic: "ann sent", TLSNone: "ann sent"} {
		box := &postbox{}
		s := newSender(t, Config{Host: "127.0.0.1", Port: box.listen(t, nil), TLS: policy, Log: &memoryLog{}})
		out := mustSend(t, s, to("ann@example.com"), false)
		wantStrings(t, string(policy), statuses(out), want)
		if policy == TLSMandatory && !strings.Contains(out[0].Err.Error(), "STARTTLS") {
			t.Errorf("error %v", out[0].Err)
		}
	}
}

func TestACertificateThatNobodyTrustsStopsTheMail(t *testing.T) {
	box := &postbox{}
	serverTLS, _ := authority(t)
	s := newSender(t, Config{Host: "127.0.0.1", Port: box.listen(t, serverTLS), TLS: TLSMandatory, Log: &memoryLog{}})
	out := mustSend(t, s, to("ann@example.com"), false)
	if len(box.accepted("")) != 0 || out[0].Err == nil || !strings.Contains(out[0].Err.Error(), "certificate") {
		t.Errorf("outcome %v %v", statuses(out), out[0].Err)
	}
}

func TestAWrongPasswordSaysSo(t *testing.T) {
	box := &postbox{login: "kubevalue:right"}
	serverTLS, caFile := authority(t)
	s := newSender(t, Config{
		Host: "127.0.0.1", Port: box.listen(t, serverTLS), CAFile: caFile, TLS: TLSMandatory, Username: "kubevalue", Password: "wrong", Log: &memoryLog{},
	})
	out := mustSend(t, s, to("ann@example.com"), false)
	if out[0].Status != Failed || !strings.Contains(out[0].Err.Error(), "535") || out[0].RetryAt.IsZero() || strings.Contains(out[0].Err.Error(), "wrong") {
		t.Errorf("outcome %+v, want a failure with the code, to be tried again, without the password", out[0])
	}
}
