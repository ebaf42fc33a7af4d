package kube

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

// Decode reads the objects of a YAML stream in their order. Empty documents
// are passed over, Lists are opened. An error says in which document a key
// stands twice, or what else is no Kubernetes object.
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
	// Strict: a key that is there twice is a mistake, not a choice.
	if err := sigsyaml.UnmarshalStrict(document, &content); err != nil {
		return nil, err
	}
	if len(content) == 0 {
		return nil, nil
	}
	// The codec rather than sigs.k8s.io/yaml's float64 numbers: server-side
	// apply and comparison want int64.
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

// split takes out what others need to be there first: Namespaces and
// CustomResourceDefinitions. The order is kept otherwise.
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
