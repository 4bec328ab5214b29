package controlplane

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// AdminUser is the user of the administrator's token and kubeconfig.
const AdminUser = "kubetest-admin"

// mastersGroup may do anything, whatever RBAC says.
const mastersGroup = "system:masters"

// newLayout writes all files that the components read. It returns the users, the
// administrator first.
func newLayout(ctx context.Context, c Config) (*layout, []user, error) {
	l := &layout{config: c}
	for _, dir := range []string{c.Dir, l.file("logs"), l.file("users")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, nil, fmt.Errorf("create the control plane's folder: %w", err)
		}
	}
	ports, err := freePorts(ctx, 6)
	if err != nil {
		return nil, nil, err
	}
	l.ports.etcd, l.ports.etcdPeer, l.ports.apiserver = ports[0], ports[1], ports[2]
	l.ports.controllerManager, l.ports.scheduler, l.ports.kwok = ports[3], ports[4], ports[5]

	if err := l.writeCredentials(); err != nil {
		return nil, nil, err
	}
	users, err := l.writeUsers()
	if err != nil {
		return nil, nil, err
	}
	files := map[string][]byte{
		l.file("stages.yaml"): []byte(strings.ReplaceAll(stages, "KUBERNETES_VERSION", c.Programs.Kubernetes)),
	}
	if c.Audit.PolicyFile == "" {
		files[l.auditPolicy()] = defaultAuditPolicy
	}
	for path, text := range files {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return nil, nil, fmt.Errorf("write the components' configuration: %w", err)
		}
	}
	if c.Audit.WebhookURL != "" {
		receiver := cluster{Server: c.Audit.WebhookURL, CA: c.Audit.WebhookCAFile}
		err := writeKubeconfig(l.auditWebhook(), receiver, credentials{TokenFile: c.Audit.WebhookTokenFile})
		if err != nil {
			return nil, nil, err
		}
	}
	return l, users, nil
}

// writeCredentials creates the certificates, and the kubeconfigs of those who use them.
func (l *layout) writeCredentials() error {
	var err error
	if l.pki, err = newPKI(l.file("pki"), l.config.Now()); err != nil {
		return err
	}
	if err := l.pki.server("server"); err != nil {
		return err
	}
	if err := l.pki.signingKey("service-accounts"); err != nil {
		return err
	}
	for _, c := range []struct {
		name, user string
		groups     []string
	}{
		{"admin", AdminUser, []string{mastersGroup}},
		{"kubetest", "system:kubetest", []string{mastersGroup}},
		{"kwok", "system:kwok", []string{mastersGroup}},
		{"controller-manager", "system:kube-controller-manager", nil},
		{"scheduler", "system:kube-scheduler", nil},
	} {
		if err := l.pki.client(c.name, c.user, c.groups...); err != nil {
			return err
		}
		as := credentials{Cert: l.pki.certFile(c.name), Key: l.pki.keyFile(c.name)}
		if err := writeKubeconfig(l.kubeconfig(c.name), l.cluster(), as); err != nil {
			return err
		}
	}
	return nil
}

// writeUsers writes the token file and a kubeconfig for each user of it.
func (l *layout) writeUsers() ([]user, error) {
	var secret [16]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return nil, fmt.Errorf("create the administrator's token: %w", err)
	}
	users := []user{{token: hex.EncodeToString(secret[:]), name: AdminUser, uid: AdminUser, groups: []string{mastersGroup}}}
	if path := l.config.UsersFile; path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the users: %w", err)
		}
		more, err := readUsers(bytes.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("read the users in %s: %w", path, err)
		}
		users = append(users, more...)
	}
	var tokens bytes.Buffer
	if err := writeUsers(&tokens, users); err != nil {
		return nil, fmt.Errorf("encode the users: %w", err)
	}
	if err := os.WriteFile(l.file("tokens.csv"), tokens.Bytes(), 0o600); err != nil {
		return nil, fmt.Errorf("write the users: %w", err)
	}
	for _, u := range users[1:] {
		if err := writeKubeconfig(l.userKubeconfig(u.name), l.cluster(), credentials{Token: u.token}); err != nil {
			return nil, err
		}
	}
	return users, nil
}

func (l *layout) cluster() cluster {
	return cluster{Server: l.url(APIServer), CA: l.pki.certFile("ca")}
}

func (l *layout) file(name string) string       { return filepath.Join(l.config.Dir, name) }
func (l *layout) kubeconfig(name string) string { return l.file(name + ".kubeconfig") }

// userKubeconfig escapes what a file name cannot hold: users may be called like "oidc:ann/x".
func (l *layout) userKubeconfig(name string) string {
	return filepath.Join(l.file("users"), url.PathEscape(name)+".kubeconfig")
}

func (l *layout) auditPolicy() string {
	if path := l.config.Audit.PolicyFile; path != "" {
		return path
	}
	return l.file("audit-policy.yaml")
}

func (l *layout) auditWebhook() string {
	if path := l.config.Audit.WebhookConfigFile; path != "" {
		return path
	}
	return l.file("audit-webhook.kubeconfig")
}
