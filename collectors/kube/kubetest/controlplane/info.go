package controlplane

// Info is all that somebody needs to use a control plane. Paths are absolute.
type Info struct {
	// Server is the apiserver's address, https://127.0.0.1:port; it stays over a restart.
	Server string `json:"server"`
	// CAFile verifies Server.
	CAFile string `json:"ca_file"`
	// Admin may do anything: by certificate in the kubeconfig, or by token.
	Admin Account `json:"admin"`
	// Users are those of the users file, by name.
	Users map[string]Account `json:"users"`
	// AuditLog has one audit.k8s.io/v1 Event a line: what the webhook is sent, too.
	AuditLog string `json:"audit_log"`
	// URLs are the components' addresses, by component. Those of controller-manager,
	// scheduler and apiserver serve /metrics to the administrator's token.
	URLs map[string]string `json:"urls"`
	// Logs are the components' log files, PIDs their process ids, by component.
	Logs map[string]string `json:"logs"`
	PIDs map[string]int    `json:"pids"`
	// Nodes is how many fake nodes there are; StorageClass provisions fake volumes.
	Nodes        int    `json:"nodes"`
	StorageClass string `json:"storage_class"`
	// Versions are those of kubernetes, kwok and etcd, with a leading v.
	Versions map[string]string `json:"versions"`
}

// Account is how somebody signs in.
type Account struct {
	User       string   `json:"user"`
	Groups     []string `json:"groups"`
	Token      string   `json:"token"`
	Kubeconfig string   `json:"kubeconfig"`
}

// Info describes the control plane as it is now.
func (p *Plane) Info() Info {
	l := p.layout
	info := Info{
		Server:       l.url(APIServer),
		CAFile:       l.pki.certFile("ca"),
		Admin:        account(p.users[0], l.kubeconfig("admin")),
		Users:        map[string]Account{},
		AuditLog:     l.file("audit.log"),
		URLs:         map[string]string{},
		Logs:         map[string]string{},
		PIDs:         map[string]int{},
		Nodes:        l.config.Nodes,
		StorageClass: StorageClass,
		Versions: map[string]string{
			"kubernetes": l.config.Programs.Kubernetes,
			"kwok":       l.config.Programs.Kwok,
			"etcd":       l.config.Programs.Etcd,
		},
	}
	for _, u := range p.users[1:] {
		info.Users[u.name] = account(u, l.userKubeconfig(u.name))
	}
	for name, proc := range p.processes {
		info.URLs[name], info.Logs[name], info.PIDs[name] = l.url(name), proc.logPath, proc.pid()
	}
	return info
}

func account(u user, kubeconfig string) Account {
	groups := u.groups
	if groups == nil {
		groups = []string{}
	}
	return Account{User: u.name, Groups: groups, Token: u.token, Kubeconfig: kubeconfig}
}
