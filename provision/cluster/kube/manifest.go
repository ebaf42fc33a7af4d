package kube

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

// Decode reads the objects of a YAML stream in their order. Empty documents are
// skipped, Lists are expanded. An error names the document that has a duplicate
// key or is not a Kubernetes object.
func Decode(manifests []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	reader := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifests)))
	for number := 1; ; number++ {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("manifest: document %d: %w", number, err)
		}
		some, err := decodeDocument(document)
		if err != nil {
			return nil, fmt.Errorf("manifest: document %d: %w", number, err)
		}
		objects = append(objects, some...)
	}
}

func decodeDocument(document []byte) ([]*unstructured.Unstructured, error) {
	var content map[string]any
	// Strict: a duplicate key is a mistake.
	if err := sigsyaml.UnmarshalStrict(document, &content); err != nil {
		return nil, err
	}
	if len(content) == 0 {
		return nil, nil
	}
	// sigs.k8s.io/yaml decodes numbers as float64; server-side apply and
	// comparison need int64, as the codec decodes them.
	document, err := sigsyaml.YAMLToJSON(document)
	if err != nil {
		return nil, err
	}
	decoded, err := runtime.Decode(unstructured.UnstructuredJSONScheme, document)
	if err != nil {
		return nil, err
	}
	switch decoded := decoded.(type) {
	case *unstructured.Unstructured:
		return checked(decoded)
	case *unstructured.UnstructuredList:
		var objects []*unstructured.Unstructured
		for i := range decoded.Items {
			some, err := checked(&decoded.Items[i])
			if err != nil {
				return nil, fmt.Errorf("item %d: %w", i, err)
			}
			objects = append(objects, some...)
		}
		return objects, nil
	default:
		return nil, fmt.Errorf("unexpected %T", decoded)
	}
}

func checked(object *unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	if object.GetName() == "" {
		return nil, fmt.Errorf("%s has no metadata.name", object.GetKind())
	}
	return []*unstructured.Unstructured{object}, nil
}

// split separates what the other objects need to exist first: Namespaces and
// CustomResourceDefinitions. It keeps the order.
func split(objects []*unstructured.Unstructured) (first, rest []*unstructured.Unstructured) {
	for _, object := range objects {
		if isNamespace(object) || isCRD(object) {
			first = append(first, object)
		} else {
			rest = append(rest, object)
		}
	}
	return first, rest
}

func isNamespace(object *unstructured.Unstructured) bool {
	return object.GroupVersionKind().Group == "" && object.GetKind() == "Namespace"
}

func isCRD(object *unstructured.Unstructured) bool {
	return object.GroupVersionKind().Group == "apiextensions.k8s.io" && object.GetKind() == "CustomResourceDefinition"
}

// title names an object in messages: "DaemonSet kube-system/kube-proxy".
func title(object *unstructured.Unstructured) string {
	name := object.GetName()
	if namespace := object.GetNamespace(); namespace != "" {
		name = namespace + "/" + name
	}
	return strings.TrimSpace(object.GetKind() + " " + name)
}

// IntoNamespace puts namespaced objects without a namespace into the given one.
// Of kinds that the cluster does not serve yet, a CustomResourceDefinition among
// the objects says whether they are namespaced.
func (c *Client) IntoNamespace(objects []*unstructured.Unstructured, namespace string) error {
	namespaced := map[schema.GroupKind]bool{}
	for _, o := range objects {
		if isCRD(o) {
			scope, _, _ := unstructured.NestedString(o.Object, "spec", "scope")
			namespaced[definedKind(o)] = scope == "Namespaced"
		}
	}
	for _, o := range objects {
		if o.GetNamespace() != "" {
			continue
		}
		kind := o.GroupVersionKind()
		if is, ours := namespaced[kind.GroupKind()]; ours {
			if is {
				o.SetNamespace(namespace)
			}
			continue
		}
		mapping, err := c.mapping(kind.GroupKind(), kind.Version)
		if err != nil {
			return fmt.Errorf("%s: %w", title(o), err)
		}
		if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
			o.SetNamespace(namespace)
		}
	}
	return nil
}
