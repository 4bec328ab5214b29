package audit

import (
	_ "embed" // the policy
	"fmt"
	"io"
)

//go:embed policy.yaml
var policy string

// Policy writes the audit policy that kube-apiserver should run with (--audit-policy-file), as YAML with comments: it keeps
// what the metrics need and little else.
func Policy(w io.Writer) error {
	if _, err := io.WriteString(w, policy); err != nil {
		return fmt.Errorf("write audit policy: %w", err)
	}
	return nil
}
