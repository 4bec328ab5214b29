package controlplane

import (
	"encoding/json"
	"fmt"
	"os"
)

// kubeconfig is the part of the kubeconfig format that one server and one user need.
type kubeconfig struct {
	APIVersion     string         `json:"apiVersion"`
	Kind           string         `json:"kind"`
	Clusters       []namedCluster `json:"clusters"`
	Users          []namedUser    `json:"users"`
	Contexts       []namedContext `json:"contexts"`
	CurrentContext string         `json:"current-context"`
}

type namedCluster struct {
	Name    string  `json:"name"`
	Cluster cluster `json:"cluster"`
}

// cluster is a server's address and, for https, the file of its authority.
type cluster struct {
	Server string `json:"server"`
	CA     string `json:"certificate-authority,omitempty"`
}

type namedUser struct {
	Name string      `json:"name"`
	User credentials `json:"user"`
}

// credentials are a certificate, a token, or a file that holds a token.
type credentials struct {
	Cert      string `json:"client-certificate,omitempty"`
	Key       string `json:"client-key,omitempty"`
	Token     string `json:"token,omitempty"`
	TokenFile string `json:"tokenFile,omitempty"`
}

type namedContext struct {
	Name    string    `json:"name"`
	Context contextOf `json:"context"`
}

type contextOf struct {
	Cluster string `json:"cluster"`
	User    string `json:"user"`
}

// writeKubeconfig writes a kubeconfig (in JSON, which is YAML too) for one user of one server.
func writeKubeconfig(path string, server cluster, as credentials) error {
	const name = "kubetest"
	text, err := json.MarshalIndent(kubeconfig{
		APIVersion:     "v1",
		Kind:           "Config",
		Clusters:       []namedCluster{{Name: name, Cluster: server}},
		Users:          []namedUser{{Name: name, User: as}},
		Contexts:       []namedContext{{Name: name, Context: contextOf{Cluster: name, User: name}}},
		CurrentContext: name,
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write a kubeconfig: %w", err)
	}
	return nil
}
