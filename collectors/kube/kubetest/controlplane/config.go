package controlplane

import (
	_ "embed" // for the default audit policy and kwok's stages
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/collectors/kube/kubetest/binaries"
)

//go:embed audit-policy.yaml
var defaultAuditPolicy []byte

//go:embed stages.yaml
var stages string

// Config says what control plane to start.
type Config struct {
	// Dir gets everything that the control plane writes. It must be empty or absent.
	Dir string
	// Programs must be built.
	Programs binaries.Set
	// Nodes is how many fake nodes to create, 0 or more.
	Nodes int
	// UsersFile is a token file (token,user,uid,"group1,group2"); empty for none.
	UsersFile string
	// Audit says what is audited and where to.
	Audit Audit
	// APIServerArgs are added to the command line of kube-apiserver; where it has a flag
	// twice, the last one counts.
	APIServerArgs []string
	// Fsync makes etcd wait for the disk, as it does where its data outlive the test. That is slower, and measured
	// by etcd_disk_wal_fsync_duration_seconds.
	Fsync bool
	// Progress gets a line for each component that is ready, from several goroutines.
	Progress io.Writer
	// Now is the clock of everything reported.
	Now func() time.Time
}

// Audit configures kube-apiserver's audit backends. The log file is always written.
type Audit struct {
	// PolicyFile is an audit.k8s.io/v1 Policy; empty for all ended requests at level Metadata.
	PolicyFile string
	// WebhookURL gets batches of events; empty for no webhook.
	WebhookURL string
	// WebhookTokenFile holds the bearer token for WebhookURL, which must then be https:
	// kube-apiserver never sends credentials over plain http. Empty for none.
	WebhookTokenFile string
	// WebhookCAFile verifies an https WebhookURL; empty for the system's authorities.
	WebhookCAFile string
	// WebhookConfigFile is a kubeconfig to use in place of WebhookURL.
	WebhookConfigFile string
	// BatchMaxWait is how long an event waits at most for its batch to fill.
	BatchMaxWait time.Duration
	// BatchMaxSize is how many events a batch has at most.
	BatchMaxSize int
	// RetryBackoff is the wait before a failed batch is sent again. It grows by half each
	// time; after the fifth attempt the batch is dropped.
	RetryBackoff time.Duration
}

// webhook tells whether events are sent anywhere.
func (a Audit) webhook() bool { return a.WebhookURL != "" || a.WebhookConfigFile != "" }

// check reports every fault of the configuration at once, and makes its paths absolute.
func (c *Config) check() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }

	for _, path := range []*string{&c.Dir, &c.UsersFile, &c.Audit.PolicyFile, &c.Audit.WebhookTokenFile, &c.Audit.WebhookCAFile, &c.Audit.WebhookConfigFile} {
		if *path == "" {
			continue
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			fault("find %s: %w", *path, err)
		}
		*path = abs
	}
	if c.Dir == "" {
		fault("no folder is given: name one that is empty or absent")
	} else if entries, err := os.ReadDir(c.Dir); err == nil && len(entries) > 0 {
		fault("%s is not empty: name a folder that is empty or absent", c.Dir)
	}
	if missing, err := c.Programs.Missing(); err != nil {
		faults = append(faults, err)
	} else if len(missing) > 0 {
		fault("%v are not built in %s: run kubetest build", missing, c.Programs.Dir)
	}
	if c.Nodes < 0 {
		fault("%d nodes: want 0 or more", c.Nodes)
	}
	return errors.Join(append(faults, c.Audit.check())...)
}

func (a Audit) check() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }

	if a.WebhookURL != "" && a.WebhookConfigFile != "" {
		fault("the audit webhook has both an address and a configuration file: give one")
	}
	if (a.WebhookTokenFile != "" || a.WebhookCAFile != "") && !strings.HasPrefix(a.WebhookURL, "https://") {
		fault("audit webhook %q: a token or an authority goes with https only (kube-apiserver sends no token over http)", a.WebhookURL)
	}
	if a.WebhookURL != "" {
		if u, err := url.Parse(a.WebhookURL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			fault("audit webhook %q: want http://host:port/path or https://host:port/path", a.WebhookURL)
		}
	}
	for _, path := range []string{a.PolicyFile, a.WebhookTokenFile, a.WebhookCAFile, a.WebhookConfigFile} {
		if path == "" {
			continue
		}
		if _, err := os.Stat(path); err != nil {
			faults = append(faults, err)
		}
	}
	if a.BatchMaxWait <= 0 || a.RetryBackoff <= 0 {
		fault("audit batch wait %s and retry backoff %s: want more than 0s", a.BatchMaxWait, a.RetryBackoff)
	}
	if a.BatchMaxSize <= 0 {
		fault("audit batch size %d: want 1 or more", a.BatchMaxSize)
	}
	return errors.Join(faults...)
}
