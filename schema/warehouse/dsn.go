package warehouse

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DefaultDatabase is the database of a DSN that names none.
const DefaultDatabase = "kubevalue"

// transport is how the warehouse is reached.
type transport uint8

const (
	transportEmbedded transport = iota // start an engine on a data directory
	transportSocket                    // an engine that runs, by its unix socket
	transportNative
	transportHTTP
)

// dsn is a DSN, taken apart.
type dsn struct {
	transport  transport
	path       string // data directory or socket
	hosts      []string
	tls        bool
	skipVerify bool
	serverName string
	user       string
	password   string
	database   string
	compress   string

	dialTimeout, readTimeout time.Duration
}

const dsnForms = "embedded:DIR, clickhouse://USER:PASSWORD@HOST:9000/DATABASE or https://USER:PASSWORD@HOST:8443/DATABASE"

// Bounds of a server's answers, unless the DSN sets others.
const (
	defaultDialTimeout = 10 * time.Second
	defaultReadTimeout = 2 * time.Minute
)

// databaseName is what a database may be called: it stands in statements and file names.
var databaseName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)

// parseDSN reads a DSN. Errors never hold what may be a password.
func parseDSN(text string) (dsn, error) {
	d, err := readDSN(text)
	if err != nil {
		return dsn{}, fmt.Errorf("warehouse DSN: %w", err)
	}
	return d, nil
}

func readDSN(text string) (dsn, error) {
	scheme, rest, found := strings.Cut(text, ":")
	if text == "" || !found {
		return dsn{}, fmt.Errorf("it names no warehouse: write %s", dsnForms)
	}
	d := dsn{database: DefaultDatabase, dialTimeout: defaultDialTimeout, readTimeout: defaultReadTimeout}
	switch scheme {
	case "embedded", "unix":
		return d.local(scheme, rest)
	case "clickhouse":
		d.transport = transportNative
		d.compress = "lz4"
	case "http", "https":
		d.transport = transportHTTP
		d.tls = scheme == "https"
	default:
		return dsn{}, fmt.Errorf("unknown scheme %q: write %s", scheme, dsnForms)
	}
	rest, found = strings.CutPrefix(rest, "//")
	if !found {
		return dsn{}, fmt.Errorf(`"//" is missing after %q: write %s`, scheme+":", dsnForms)
	}
	return d.server(rest)
}

// local reads what follows "embedded:" or "unix:".
func (d dsn) local(scheme, rest string) (dsn, error) {
	path, query, _ := strings.Cut(rest, "?")
	if scheme == "unix" {
		d.transport = transportSocket
	}
	if path == "" {
		return dsn{}, fmt.Errorf("%s: needs a path, as in %s:/var/lib/kubevalue", scheme, scheme)
	}
	if strings.HasPrefix(path, "//") {
		return dsn{}, fmt.Errorf("no %q after %s: write %s:%s", "//", scheme, scheme, "/"+strings.TrimLeft(path, "/"))
	}
	d.path = path
	if err := d.parameters(query, "database"); err != nil {
		return dsn{}, err
	}
	return d, nil
}

// server reads what follows "//": user:password@host:port,host:port/database?parameters. The password ends at the last "@",
// so that an unescaped one in it, or a "/", does no harm.
func (d dsn) server(rest string) (dsn, error) {
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, password, _ := strings.Cut(rest[:at], ":")
		rest = rest[at+1:]
		var err error
		if d.user, err = url.PathUnescape(user); err == nil {
			d.password, err = url.PathUnescape(password)
		}
		if err != nil {
			return dsn{}, fmt.Errorf("the user or the password holds a %q that begins no escape: write it as %q", "%", "%25")
		}
		if d.user == "" && d.password != "" {
			return dsn{}, fmt.Errorf("there is a password without a user: write USER:PASSWORD@HOST")
		}
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, database, _ := strings.Cut(rest, "/")
	if database != "" {
		d.database = database
	}
	if err := d.parameters(query, "database", "compress", "dial_timeout", "read_timeout", "secure", "skip_verify", "tls_server_name"); err != nil {
		return dsn{}, err
	}
	for host := range strings.SplitSeq(authority, ",") {
		addr, err := d.address(host)
		if err != nil {
			return dsn{}, err
		}
		d.hosts = append(d.hosts, addr)
	}
	return d, nil
}

// address adds the usual port to a host that has none.
func (d dsn) address(host string) (string, error) {
	if host == "" {
		return "", fmt.Errorf("the host is missing: write %s", dsnForms)
	}
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		if strings.Count(host, ":") > 0 && !strings.HasPrefix(host, "[") {
			return "", fmt.Errorf("host %q: write an IPv6 address in brackets, as in [::1]:9000", host)
		}
		name, port = strings.Trim(host, "[]"), d.defaultPort()
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("host %q: the port must be a number from 1 to 65535", host)
	}
	if name == "" {
		return "", fmt.Errorf("host %q: its name is missing", host)
	}
	return net.JoinHostPort(name, port), nil
}

func (d dsn) defaultPort() string {
	switch {
	case d.transport == transportNative && d.tls:
		return "9440"
	case d.transport == transportNative:
		return "9000"
	case d.tls:
		return "8443"
	default:
		return "8123"
	}
}

// parameters reads what follows "?" and checks the database, which may come from either place.
func (d *dsn) parameters(query string, known ...string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return fmt.Errorf(`the part after "?" cannot be read: write name=value&name=value`)
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("unknown parameter %q: known are %s", name, strings.Join(known, ", "))
		}
		if err := d.set(name, values.Get(name)); err != nil {
			return err
		}
	}
	if !databaseName.MatchString(d.database) {
		return fmt.Errorf("database %q: use letters, digits and underscores, at most 64 of them", d.database)
	}
	return nil
}

func (d *dsn) set(name, value string) (err error) {
	switch name {
	case "database":
		d.database = value
	case "tls_server_name":
		d.serverName = value
	case "compress":
		d.compress = value
		if !slices.Contains([]string{"none", "lz4", "zstd", "gzip"}, value) || value == "gzip" && d.transport == transportNative {
			return fmt.Errorf("compress=%s: use none, lz4, zstd or, over HTTP, gzip", value)
		}
	case "dial_timeout":
		d.dialTimeout, err = duration(name, value)
	case "read_timeout":
		d.readTimeout, err = duration(name, value)
	case "secure":
		var secure bool
		secure, err = boolean(name, value)
		if d.transport == transportHTTP && secure != d.tls {
			return fmt.Errorf("secure=%s: the scheme says so already, write https:// or http://", value)
		}
		d.tls = secure
	case "skip_verify":
		d.skipVerify, err = boolean(name, value)
	}
	return err
}

func duration(name, value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%s=%s: write a duration above zero, as in 10s", name, value)
	}
	return d, nil
}

func boolean(name, value string) (bool, error) {
	b, err := strconv.ParseBool(value)
	if err != nil {
		return false, fmt.Errorf("%s=%s: write true or false", name, value)
	}
	return b, nil
}

// String is the DSN for people: without user and password.
func (d dsn) String() string {
	switch d.transport {
	case transportEmbedded:
		return "embedded:" + d.path
	case transportSocket:
		return "unix:" + d.path
	}
	scheme := "clickhouse"
	if d.transport == transportHTTP {
		scheme = "http"
		if d.tls {
			scheme = "https"
		}
	}
	return scheme + "://" + strings.Join(d.hosts, ",") + "/" + d.database
}
