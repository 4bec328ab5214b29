package kube

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubevalue/kubevalue/schema"
)

func TestFieldsAreKeptWithTheObjects(t *testing.T) {
	d := web(noon, 3)
	d.Spec.Template.Spec.Containers[0].Image = "shop:1"
	d.Annotations = map[string]string{"example.com/owner": "red", "long": strings.Repeat("x", 1000)}
	app := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"source": map[string]any{"targetRevision": "v1"}}}}
	for path, test := range map[string]struct {
		of   any
		want string
	}{
		".spec.replicas": {d, "3"},
		"{.spec.template.spec.containers[*].image}":  {d, "shop:1"},
		`{.metadata.annotations.example\.com/owner}`: {d, "red"},
		"spec.paused":                             {d, "false"},
		".spec.strategy.rollingUpdate.maxSurge":   {d, noField},
		".spec.nothing":                           {d, noField},
		".spec.template.spec.containers[7].image": {d, noField},
		".metadata.annotations.long":              {d, "sha256:"},
		".spec.source.targetRevision":             {app, "v1"},
		".spec.source.path":                       {app, noField},
	} {
		r, err := newFieldReader(Field{Kind: schema.KindDeployment, Path: path})
		if err != nil {
			t.Fatal(err)
		}
		o := &object{}
		r.read(o, test.of)
		got := o.attributes["field:"+path]
		if len(got) == len("sha256:")+64 {
			got = "sha256:"
		}
		if got != test.want {
			t.Errorf("%s is %q, want %q", path, got, test.want)
		}
	}
}

func TestAFieldThatChangesIsAChange(t *testing.T) {
	r := newRigOf(t, noon, Config{Fields: []Field{{Kind: schema.KindDeployment, Path: ".spec.minReadySeconds"}}})
	r.sync(map[string][]any{schema.KindDeployment: {web(noon, 1)}})
	r.told()
	d := web(noon, 1)
	d.Spec.MinReadySeconds = 7
	r.put(schema.KindDeployment, d)
	told := r.told()
	if len(told) != 1 || told[0].Change != schema.ChangeUpdated || !cmp.Equal(told[0].Attributes, map[string]string{"field:.spec.minReadySeconds": "7", schema.AttributeTies: schema.TiesNone}) {
		t.Errorf("recorded is %+v", told)
	}
}
