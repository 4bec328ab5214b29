package probe

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

// clientCertificate makes a certificate that signs itself, as two files.
func clientCertificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "client.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))),
		write(t, "client-key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
}

func TestEveryFaultOfATargetIsNamedAtOnce(t *testing.T) {
	bad := Target{
		Name: "shop", Kind: KindHTTP, Address: "ftp://ann:secret@shop.example", Interval: 7 * time.Second, Timeout: 8 * time.Second,
		Status: []int{20}, MaxBody: -1, CertFile: "c.pem",
	}
	err := bad.WithDefaults().Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`probe "shop": address "...@shop.example": want a URL that begins with http:// or https://`,
		`probe "shop": interval 7s: want one that divides the slice of 1m0s`,
		`probe "shop": timeout 8s: want more than 0 and at most the interval of 7s`,
		`probe "shop": status 20: want 100 to 599`,
		`probe "shop": max body -1: want 0 bytes or more`,
		`probe "shop": client certificate: want both the certificate's file and the key's, or neither`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q, want it to contain %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the error shows a password: %v", err)
	}
}

func TestFaultsOfATarget(t *testing.T) {
	for name, c := range map[string]struct {
		target Target
		want   string
	}{
		"no name":            {Target{Kind: KindTCP, Address: "h:1"}, "name: want one"},
		"no port":            {Target{Name: "t", Kind: KindTCP, Address: "host"}, `address "host": want host:port`},
		"no kind":            {Target{Name: "t", Address: "host:1"}, `kind "": want one of http, tcp, apiserver`},
		"password in URL":    {Target{Name: "t", Kind: KindHTTP, Address: "https://u:secret@h"}, "want no password in it"},
		"slice of no second": {Target{Name: "t", Kind: KindTCP, Address: "h:1", Slice: 1500 * time.Millisecond}, "slice 1.5s"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.target.WithDefaults().Validate()
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error %v, want it to contain %q", err, c.want)
			}
		})
	}
}

func TestTwoTargetsOfOneNameAreRefused(t *testing.T) {
	_, err := New(Config{Targets: []Target{target, target}, Sink: &memorySink{}})
	if err == nil || !strings.Contains(err.Error(), "same name and group") {
		t.Errorf("error %v", err)
	}
	other := target
	other.Group = "prod-1"
	if _, err := New(Config{Targets: []Target{target, other}, Sink: &memorySink{}}); err != nil {
		t.Errorf("another group: %v", err)
	}
}

func TestRevisionNamesWhatIsMeasured(t *testing.T) {
	base := Target{Name: "shop", Kind: KindHTTP, Address: "https://shop.example/"}
	// The revision is part of stored slices: a change of this value makes a new series of every target.
	if got, want := Revision(base), "0bf3c95ee28fc1a9"; got != want {
		t.Errorf("revision %s, want %s", got, want)
	}
	same := base
	same.Group, same.BearerTokenFile, same.Interval, same.Method = "g", "/token", DefaultInterval, "GET"
	if Revision(same) != Revision(base) {
		t.Error("the same measurement has another revision")
	}
	for name, change := range map[string]func(*Target){
		"address": func(t *Target) { t.Address += "x" }, "interval": func(t *Target) { t.Interval = 20 * time.Second },
		"timeout": func(t *Target) { t.Timeout = time.Second }, "status": func(t *Target) { t.Status = []int{200} },
		"slice": func(t *Target) { t.Slice = 30 * time.Second }, "kind": func(t *Target) { t.Kind = KindAPIServer },
	} {
		other := base
		change(&other)
		if Revision(other) == Revision(base) {
			t.Errorf("another %s has the same revision", name)
		}
	}
	a, b := base, base
	a.Status, b.Status = []int{200, 302}, []int{302, 200, 200}
	if Revision(a) != Revision(b) {
		t.Error("the order of statuses changes the revision")
	}
}
