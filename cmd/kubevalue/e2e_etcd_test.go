//go:build e2e

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/slo/freeport"
)

// etcdCertificate makes a certificate that an authority signs, for a server on this machine or for its client.
func etcdCertificate(t *testing.T, file string, authority tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, "make a key", err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: filepath.Base(file)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := authority.Leaf, authority.PrivateKey
	if parent == nil {
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	must(t, "sign a certificate", err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, "write a key", err)
	certPEM, keyPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	writeFile(t, file+".crt", string(certPEM))
	writeFile(t, file+".key", string(keyPEM))
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	must(t, "read the certificate", err)
	return pair
}

// TestE2EEtcdWithCertificates reads the page of an etcd that wants to see a certificate, with the objectives for etcd that `kubevalue slo
// control-plane` prints; without that certificate, or by another authority, it is not read.
func TestE2EEtcdWithCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	authority := etcdCertificate(t, file("ca"), tls.Certificate{})
	etcdCertificate(t, file("other"), tls.Certificate{})
	etcdCertificate(t, file("server"), authority)
	own := etcdCertificate(t, file("client"), authority)
	clients, peers := fmt.Sprintf("127.0.0.1:%d", freeport.Get(t)), fmt.Sprintf("http://127.0.0.1:%d", freeport.Get(t))
	start(t, "etcd", "--data-dir="+file("data"), "--listen-client-urls=https://"+clients, "--advertise-client-urls=https://"+clients,
		"--listen-peer-urls="+peers, "--initial-advertise-peer-urls="+peers, "--initial-cluster=default="+peers,
		"--cert-file="+file("server.crt"), "--key-file="+file("server.key"), "--client-cert-auth", "--trusted-ca-file="+file("ca.crt"))
	pool := x509.NewCertPool()
	pool.AddCert(authority.Leaf)
	client := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{own}}}}
	eventually(t, "etcd is ready", func() error {
		_, err := getBody(t.Context(), client, "https://"+clients+"/health")
		return err
	})

	writeFile(t, file("slo.yaml"), controlPlaneObjectives)
	began := time.Now().Add(-time.Minute)
	// Pages that a busy machine reads too late after each other are not compared: those of etcd may be half a minute apart.
	s := &scraping{began: began, booted: boot(t, fmt.Sprintf(`scrapes:
  - {job: etcd, interval: 15s, targets: ["https://%[1]s/metrics"], access: {cert_file: %[2]q, key_file: %[3]q, ca_file: %[4]q}}
  - {job: nobody, interval: 1s, targets: ["https://%[1]s/metrics"], access: {ca_file: %[4]q}}
  - {job: elsewhere, interval: 1s, targets: ["https://%[1]s/metrics"], access: {cert_file: %[2]q, key_file: %[3]q, ca_file: %[5]q}}
objectives: {openslo: [%[6]q]}
`, clients, file("client.crt"), file("client.key"), file("ca.crt"), file("other.crt"), file("slo.yaml")))}
	read := func(line string) func() error {
		return func() error {
			body, err := getBody(t.Context(), http.DefaultClient, s.url()+"/metrics")
			if err == nil && !strings.Contains(string(body), line) {
				err = fmt.Errorf("the service's page lacks %s", line)
			}
			return err
		}
	}
	for _, line := range []string{
		`kubevalue_scrape_pages_total{result="ok",scrape_job="etcd"}`, `kubevalue_scrape_pages_total{result="failed",scrape_job="nobody"}`, `kubevalue_scrape_pages_total{result="failed",scrape_job="elsewhere"}`,
	} {
		eventually(t, line, read(line))
	}
	if read(`{result="ok",scrape_job="nobody"}`)() == nil || read(`{result="ok",scrape_job="elsewhere"}`)() == nil {
		t.Error("a page was read without the right certificate, or from a server of an unknown authority")
	}
	jobs := map[string]string{"etcd-requests": "etcd", "etcd-fsync": "etcd"}
	before := s.onPages(t, jobs)
	const puts = 25
	for i := range puts {
		resp, err := client.Post("https://"+clients+"/v3/kv/put", "application/json", strings.NewReader(fmt.Sprintf(`{"key": "a2V5", "value": "%02d=="}`, 10+i)))
		must(t, "write to etcd", err)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("etcd answered %s", resp.Status)
		}
	}
	for objective, now := range s.onPages(t, jobs) {
		if then := before[objective]; now.Total < then.Total+puts {
			t.Fatalf("%s: %d writes later, etcd has counted %v after %v", objective, puts, now.Total, then.Total)
		}
	}
	s.awaitAsOnPages(t, jobs, before)
}
