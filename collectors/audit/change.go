package audit

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/bytedance/sonic"

	"github.com/kubevalue/kubevalue/collectors"
)

// AttributeKind says what a patch of a workload changes, when the policy of the cluster logs its body (that of Policy does not):
// one of the Kind values. Only KindTemplate and KindApply can be a deployment.
const AttributeKind = "kind"

// The values of AttributeKind.
const (
	KindRestart  = "restart"  // kubectl rollout restart: the annotation restartedAt of the template, nothing else of it
	KindScale    = "scale"    // the replicas
	KindTemplate = "template" // the pod template
	KindApply    = "apply"    // server-side apply: the whole object, changed or not
	KindOther    = "other"    // labels, annotations, pausing, strategy
)

// AttributeDeprecated says that the API server calls the version of the API deprecated: the release that will not have it any longer, such
// as 1.25, or "true" where none is planned. Kubernetes itself, which keeps some of them up and is upgraded with them, has none.
const AttributeDeprecated = "deprecated_api"

// AttributeAPIGroup is the API group of a resource that Kubernetes itself does not define: its name may be the same.
const AttributeAPIGroup = "api_group"

const restartedAt = "kubectl.kubernetes.io/restartedAt"

// attributes are nil for most events.
func attributes(w *wireEvent) map[string]string {
	var found map[string]string
	ref := w.ObjectRef
	if !isBuiltInGroup(ref.APIGroup) {
		found = map[string]string{AttributeAPIGroup: ref.APIGroup}
	}
	if w.Annotations.Deprecated == "true" && !isKubernetes(w.UserAgent) {
		if found == nil {
			found = make(map[string]string, 1)
		}
		found[AttributeDeprecated] = removal(w.Annotations.Removed)
	}
	if verbOf(w) != "patch" || ref.Subresource != "" || len(w.RequestObject) == 0 || !hasPodTemplate(ref) {
		return found
	}
	kind := patchKind(w.RequestObject)
	if kind == "" {
		return found
	}
	if found == nil {
		found = make(map[string]string, 1)
	}
	found[AttributeKind] = kind
	return found
}

// removal is a release such as 1.25, or "true" where there is none.
func removal(release string) string {
	major, minor, _ := strings.Cut(release, ".")
	for _, number := range []string{major, minor} {
		if _, err := strconv.ParseUint(number, 10, 16); err != nil {
			return "true"
		}
	}
	return release
}

// isKubernetes tells components of Kubernetes by how they call themselves: PROGRAM/VERSION and more.
func isKubernetes(userAgent string) bool {
	program, _, _ := strings.Cut(userAgent, "/")
	switch program {
	case "kube-apiserver", "kube-controller-manager", "cloud-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "k3s", "rke2":
		return true
	}
	return false
}

func isBuiltInGroup(group string) bool {
	switch group {
	case "", "apps", "batch", "autoscaling", "policy", "extensions":
		return true
	}
	return strings.HasSuffix(group, ".k8s.io")
}

func hasPodTemplate(ref *wireObjectRef) bool {
	switch ref.Resource {
	case "deployments", "statefulsets", "daemonsets":
		return ref.APIGroup == "apps"
	}
	return false
}

// workloadPatch is a merge patch, a strategic merge patch or an applied object.
type workloadPatch struct {
	APIVersion string          `json:"apiVersion"`
	Metadata   json.RawMessage `json:"metadata"`
	Spec       *struct {
		Replicas json.RawMessage `json:"replicas"`
		Template *struct {
			Metadata struct {
				Annotations map[string]any `json:"annotations"`
			} `json:"metadata"`
			Spec json.RawMessage `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
}

// patchKind looks into the body of a patch; empty: it cannot be told.
func patchKind(body []byte) string {
	if first := bytes.TrimLeft(body, " \t\r\n"); len(first) > 0 && first[0] == '[' {
		return jsonPatchKind(body)
	}
	var patch workloadPatch
	if err := sonic.ConfigDefault.Unmarshal(body, &patch); err != nil {
		return ""
	}
	switch {
	case patch.APIVersion != "":
		return KindApply
	case patch.Spec == nil && len(patch.Metadata) == 0:
		return ""
	case patch.Spec == nil:
		return KindOther
	}
	template := patch.Spec.Template
	switch {
	case template != nil && len(template.Spec) == 0 && template.Metadata.Annotations[restartedAt] != nil:
		return KindRestart
	case template != nil:
		return KindTemplate
	case len(patch.Spec.Replicas) > 0:
		return KindScale
	}
	return KindOther
}

// jsonPatchKind looks at the paths of a JSON patch (RFC 6902), in which "~1" stands for a slash within a key.
func jsonPatchKind(body []byte) string {
	const template = "/spec/template"
	kind := KindOther
	cursor := collectors.NewJSONCursor(body)
	err := cursor.Array(func() error {
		var step struct {
			Op   string `json:"op"`
			Path string `json:"path"`
		}
		if err := cursor.Decode(&step); err != nil {
			return err
		}
		path := strings.ReplaceAll(step.Path, "~1", "/")
		switch {
		case step.Op == "test":
		case path == template+"/metadata/annotations/"+restartedAt:
			if kind != KindTemplate {
				kind = KindRestart
			}
		case path == "" || path == "/spec" || strings.HasPrefix(path, template):
			kind = KindTemplate
		case path == "/spec/replicas" && kind == KindOther:
			kind = KindScale
		}
		return nil
	})
	if err != nil {
		return ""
	}
	return kind
}

// isDryRunBody looks for dryRun in DeleteOptions.
func isDryRunBody(body []byte) bool {
	if !bytes.Contains(body, []byte(`"dryRun"`)) {
		return false
	}
	var options struct {
		DryRun []string `json:"dryRun"`
	}
	return sonic.ConfigDefault.Unmarshal(body, &options) == nil && len(options.DryRun) > 0
}
