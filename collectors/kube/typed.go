package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
)

// Typed reads objects of the API groups that every cluster has, as Go types, and asks for permissions.
type Typed interface {
	// list reads objects of a resource into a list of their type.
	list(ctx context.Context, of kubeschema.GroupVersionResource, o metav1.ListOptions, into runtime.Object) error
	watch(ctx context.Context, of kubeschema.GroupVersionResource, o metav1.ListOptions) (watch.Interface, error)
	// review asks whether these credentials may do what the review names.
	review(ctx context.Context, r *authorizationv1.SelfSubjectAccessReview) (*authorizationv1.SelfSubjectAccessReview, error)
}

// scheme has the types that are read, and no others: a clientset, as client-go's discovery, brings all that Kubernetes has and ever had, which
// would be a fifth of what the service has in memory.
var scheme = runtime.NewScheme()

func init() {
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, authorizationv1.AddToScheme, batchv1.AddToScheme, corev1.AddToScheme, discoveryv1.AddToScheme,
	} {
		utilruntime.Must(add(scheme))
	}
}

var parameters = runtime.NewParameterCodec(scheme)

// apiClient is a Typed that asks an API server.
type apiClient struct{ rest.Interface }

func newAPIClient(config *rest.Config, client *http.Client) (apiClient, error) {
	config = rest.CopyConfig(config)
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	c, err := rest.UnversionedRESTClientForConfigAndClient(config, client)
	return apiClient{c}, err
}

// pathOf is where a group's API is, or a resource of it.
func pathOf(group string, rest ...string) string {
	root := "/apis/" + group
	if group == "" {
		root = "/api"
	}
	return path.Join(append([]string{root}, rest...)...)
}

func (c apiClient) all(of kubeschema.GroupVersionResource, o *metav1.ListOptions) *rest.Request {
	return c.Get().AbsPath(pathOf(of.Group, of.Version, of.Resource)).SpecificallyVersionedParams(o, parameters, corev1.SchemeGroupVersion)
}

func (c apiClient) list(ctx context.Context, of kubeschema.GroupVersionResource, o metav1.ListOptions, into runtime.Object) error {
	return c.all(of, &o).Do(ctx).Into(into)
}

func (c apiClient) watch(ctx context.Context, of kubeschema.GroupVersionResource, o metav1.ListOptions) (watch.Interface, error) {
	o.Watch = true
	return c.all(of, &o).Watch(ctx)
}

func (c apiClient) review(ctx context.Context, r *authorizationv1.SelfSubjectAccessReview) (*authorizationv1.SelfSubjectAccessReview, error) {
	answer := new(authorizationv1.SelfSubjectAccessReview)
	return answer, c.Post().AbsPath(pathOf(authorizationv1.GroupName, "v1", "selfsubjectaccessreviews")).Body(r).Do(ctx).Into(answer)
}

var errNoAPIServer = errors.New("the answer is not that of an API server")

// ask reads a document that is not an object of a kind that is watched.
func (c apiClient) ask(ctx context.Context, at string, into any) error {
	body, err := c.Get().AbsPath(at).SetHeader("Accept", "application/json").DoRaw(ctx)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%w: %w", errNoAPIServer, err)
	}
	return nil
}

// version asks for the server's version.
func (c apiClient) version(ctx context.Context) (string, error) {
	var info version.Info
	if err := c.ask(ctx, "/version", &info); err != nil {
		return "", err
	}
	if info.GitVersion == "" {
		return "", errNoAPIServer
	}
	return info.GitVersion, nil
}

// serves asks which version of a resource, not of the core group, the server prefers; empty: it has none.
func (c apiClient) serves(ctx context.Context, of kubeschema.GroupResource) (string, error) {
	var group metav1.APIGroup
	if err := c.ask(ctx, pathOf(of.Group), &group); err != nil {
		return "", ignoreNotFound(err)
	}
	for _, v := range append([]metav1.GroupVersionForDiscovery{group.PreferredVersion}, group.Versions...) {
		var list metav1.APIResourceList
		if err := ignoreNotFound(c.ask(ctx, pathOf(of.Group, v.Version), &list)); err != nil {
			return "", err
		}
		for _, r := range list.APIResources {
			if r.Name == of.Resource {
				return v.Version, nil
			}
		}
	}
	return "", nil
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
