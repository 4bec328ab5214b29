package kube

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/jsonpath"

	"github.com/kubevalue/kubevalue/schema"
)

// Field is a field of objects of a kind that is stored with them, to compare clusters by.
type Field struct {
	Kind string
	// Path is a JSONPath as kubectl takes it, with or without braces: {.spec.replicas}, {.spec.template.spec.containers[*].image}.
	Path string
}

// FieldKinds are the kinds whose fields can be stored: those whose objects are read and stored as a whole.
func FieldKinds() []string {
	return slices.DeleteFunc(Kinds(), func(kind string) bool {
		return kind == kindPod || kind == kindReplicaSet || kind == kindEndpointSlice || kind == schema.KindNamespace
	})
}

// Validate says what is wrong with a field; nil: nothing.
func (f Field) Validate() error {
	if !slices.Contains(FieldKinds(), f.Kind) {
		return fmt.Errorf("kind %q is none of %s", f.Kind, strings.Join(FieldKinds(), ", "))
	}
	_, err := newFieldReader(f)
	return err
}

// fieldReader reads one field of objects. It is for one goroutine.
type fieldReader struct {
	attribute string
	path      *jsonpath.JSONPath
}

func newFieldReader(f Field) (fieldReader, error) {
	path := strings.TrimSpace(f.Path)
	if path == "" {
		return fieldReader{}, fmt.Errorf("a path is missing, such as {.spec.replicas}")
	}
	if !strings.HasPrefix(path, "{") {
		path = "{." + strings.TrimPrefix(path, ".") + "}"
	}
	r := fieldReader{attribute: schema.AttributeField + strings.TrimSpace(f.Path), path: jsonpath.New("field").AllowMissingKeys(true)}
	if len(r.attribute) > maxKept {
		return r, fmt.Errorf("path %q has %d bytes, at most %d are possible", f.Path, len(f.Path), maxKept-len(schema.AttributeField))
	}
	if err := r.path.Parse(path); err != nil {
		return r, fmt.Errorf("path %q: %w", f.Path, err)
	}
	return r, nil
}

// fieldReaders are those of one kind. The fields have been validated.
func fieldReaders(fields []Field, kind string) (all []fieldReader) {
	for _, f := range fields {
		if r, err := newFieldReader(f); err == nil && f.Kind == kind {
			all = append(all, r)
		}
	}
	return all
}

// noField is the value of a field that an object does not have.
const noField = "(none)"

// read keeps the field of an object; a long value as its hash, which tells it from others as well.
func (r fieldReader) read(o *object, from any) {
	if u, ok := from.(*unstructured.Unstructured); ok {
		from = u.Object
	}
	var text bytes.Buffer
	value := noField
	if err := r.path.Execute(&text, from); err == nil && text.Len() > 0 {
		value = text.String()
	}
	if len(value) > maxKept {
		sum := sha256.Sum256(text.Bytes())
		value = "sha256:" + hex.EncodeToString(sum[:])
	}
	o.attribute(r.attribute, value)
}
