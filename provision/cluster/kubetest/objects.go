package kubetest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

// answer serves one request; created is the object that it created, if any.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) (created Object) {
	where := r.URL.Path
	if r.Method == http.MethodGet && s.discover(w, where) {
		return nil
	}
	if pod, ok := strings.CutSuffix(where, "/eviction"); ok && r.Method == http.MethodPost {
		s.evict(w, r, pod)
		return nil
	}
	k, collection := s.find(where)
	if k.resource == "" {
		notFound(w, where)
		return nil
	}
	body, err := Body(r)
	if err != nil {
		Refuse(w, http.StatusBadRequest, "BadRequest", err.Error())
		return nil
	}
	if isDryRun(r, body) {
		defer s.restore(maps.Clone(s.objects), maps.Clone(s.applied), slices.Clone(s.kinds), s.version)
	}
	switch {
	case r.Method == http.MethodGet && collection:
		s.list(w, r, k)
	case r.Method == http.MethodPost && collection:
		return s.create(w, r, k, where, body)
	case r.Method == http.MethodPatch && r.Header.Get("Content-Type") == "application/apply-patch+yaml":
		return s.apply(w, r, k, where, body)
	case s.objects[where] == nil:
		notFound(w, where)
	case r.Method == http.MethodGet:
		Answer(w, http.StatusOK, s.objects[where])
	case r.Method == http.MethodPatch:
		s.patch(w, where, body)
	case r.Method == http.MethodPut:
		s.update(w, where, body)
	case r.Method == http.MethodDelete:
		s.remove(where)
		Answer(w, http.StatusOK, Object{"apiVersion": "v1", "kind": "Status", "status": "Success"})
	default:
		Refuse(w, http.StatusMethodNotAllowed, "MethodNotAllowed", r.Method+" "+where)
	}
	return nil
}

// isDryRun reports whether a request changes nothing. The options of a DELETE are
// those of its body, and those of the query only if it has none, as in a real API
// server.
func isDryRun(r *http.Request, body Object) bool {
	if r.Method == http.MethodDelete && body != nil {
		return fmt.Sprint(body["dryRun"]) == "[All]"
	}
	return r.URL.Query().Get("dryRun") == "All"
}

// restore undoes a dry run.
func (s *Server) restore(objects, applied map[string]Object, kinds []kind, version int) {
	s.objects, s.applied, s.kinds, s.version = objects, applied, kinds, version
}

// find returns the kind of a path, and whether it is the collection.
func (s *Server) find(where string) (k kind, collection bool) {
	for _, k := range s.kinds {
		rest, ok := strings.CutPrefix(where, k.base()+"/")
		if !ok {
			continue
		}
		parts := strings.Split(rest, "/")
		if len(parts) > 2 && parts[0] == "namespaces" && k.namespaced {
			parts = parts[2:]
		}
		if parts[0] == k.resource && len(parts) <= 2 {
			return k, len(parts) == 1
		}
	}
	return kind{}, false
}

// Body decodes the object that a request sends, also that of a typed client.
func Body(r *http.Request) (Object, error) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(r.Header.Get("Content-Type"), "protobuf") { // what typed clients send
		object, err := runtime.Decode(scheme.Codecs.UniversalDeserializer(), text)
		if err != nil {
			return nil, err
		}
		if text, err = json.Marshal(object); err != nil {
			return nil, err
		}
	}
	var body Object
	err = yaml.Unmarshal(text, &body)
	return body, err
}

// evict deletes a pod at once, as if no PodDisruptionBudget selected it: Intercept can
// refuse. The options of its body are not those of a dry run, as in a real API server.
func (s *Server) evict(w http.ResponseWriter, r *http.Request, pod string) {
	if s.objects[pod] == nil {
		notFound(w, pod)
		return
	}
	if r.URL.Query().Get("dryRun") != "All" {
		s.remove(pod)
	}
	Answer(w, http.StatusCreated, Object{"apiVersion": "v1", "kind": "Status", "status": "Success"})
}

// selected reports whether a pod runs on the node, or is in the phase, of a field
// selector: the only ones that the server knows.
func selected(selector string, object Object) bool {
	for field, value := range map[string]string{"spec.nodeName=": "spec", "status.phase=": "status"} {
		if wanted, ok := strings.CutPrefix(selector, field); ok {
			part, _ := object[value].(Object)
			name := strings.TrimSuffix(strings.TrimPrefix(field, value+"."), "=")
			return part[name] == wanted
		}
	}
	return true
}

func (s *Server) list(w http.ResponseWriter, r *http.Request, k kind) {
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		Refuse(w, http.StatusBadRequest, "BadRequest", err.Error())
		return
	}
	items := []Object{}
	for where, object := range s.objects {
		found, _ := s.find(where)
		// Without a namespace in the path, all of them are listed.
		inside := strings.HasPrefix(where, r.URL.Path+"/") || !strings.Contains(r.URL.Path, "/namespaces/")
		if found == k && inside && selector.Matches(labelsOf(object)) && selected(r.URL.Query().Get("fieldSelector"), object) {
			items = append(items, object)
		}
	}
	slices.SortFunc(items, func(a, b Object) int { return strings.Compare(nameOf(a), nameOf(b)) })
	Answer(w, http.StatusOK, Object{
		"apiVersion": k.apiVersion(), "kind": k.kind + "List", "metadata": Object{"resourceVersion": strconv.Itoa(s.version)}, "items": items,
	})
}

func nameOf(object Object) string {
	return fmt.Sprint(metadataOf(object)["namespace"], "/", metadataOf(object)["name"])
}

func labelsOf(object Object) labels.Set {
	set := labels.Set{}
	marks, _ := metadataOf(object)["labels"].(Object)
	for key, value := range marks {
		set[key] = fmt.Sprint(value)
	}
	return set
}

func metadataOf(object Object) Object {
	metadata, _ := object["metadata"].(Object)
	if metadata == nil {
		metadata = Object{}
		object["metadata"] = metadata
	}
	return metadata
}

func (s *Server) create(w http.ResponseWriter, r *http.Request, k kind, where string, body Object) (created Object) {
	object := path.Join(where, fmt.Sprint(metadataOf(body)["name"]))
	if s.objects[object] != nil {
		Refuse(w, http.StatusConflict, "AlreadyExists", object+" already exists")
		return nil
	}
	if s.namespaceMissing(w, k, where) {
		return nil
	}
	body["apiVersion"], body["kind"] = k.apiVersion(), k.kind
	s.store(object, body)
	Answer(w, http.StatusCreated, s.objects[object])
	if isDryRun(r, body) {
		return nil
	}
	return clone(body)
}

func (s *Server) namespaceMissing(w http.ResponseWriter, k kind, where string) bool {
	if !k.namespaced {
		return false
	}
	_, after, _ := strings.Cut(where, "/namespaces/")
	namespace, _, _ := strings.Cut(after, "/")
	if s.objects["/api/v1/namespaces/"+namespace] != nil {
		return false
	}
	notFound(w, "namespaces "+namespace)
	return true
}

// apply is server-side apply: maps are merged, fields that the same manager
// applied before and no longer applies are removed, all else is replaced.
func (s *Server) apply(w http.ResponseWriter, r *http.Request, k kind, where string, body Object) (created Object) {
	if s.namespaceMissing(w, k, where) {
		return nil
	}
	before := s.objects[where]
	if uid := metadataOf(body)["uid"]; uid != nil && (before == nil || metadataOf(before)["uid"] != uid) {
		Refuse(w, http.StatusConflict, "Conflict", "uid mismatch: no existing object of uid "+fmt.Sprint(uid))
		return nil
	}
	owner := where + " " + r.URL.Query().Get("fieldManager")
	after := Object{}
	if before != nil {
		after = clone(before)
	}
	prune(after, s.applied[owner], body)
	merge(after, body)
	s.applied[owner] = clone(body)
	if before == nil || !reflect.DeepEqual(before, clone(after)) {
		s.store(where, after)
	}
	if k.kind == "CustomResourceDefinition" && before == nil {
		s.serveCRD(s.objects[where])
	}
	Answer(w, http.StatusOK, s.objects[where])
	if before == nil && !isDryRun(r, body) {
		return clone(after)
	}
	return nil
}

// patch is a JSON merge patch (RFC 7396).
func (s *Server) patch(w http.ResponseWriter, where string, body Object) {
	if s.isOutdated(w, where, body) {
		return
	}
	after := clone(s.objects[where])
	merge(after, body)
	s.store(where, after)
	Answer(w, http.StatusOK, s.objects[where])
}

// update replaces an object.
func (s *Server) update(w http.ResponseWriter, where string, body Object) {
	if s.isOutdated(w, where, body) {
		return
	}
	body["apiVersion"], body["kind"] = s.objects[where]["apiVersion"], s.objects[where]["kind"]
	s.store(where, body)
	Answer(w, http.StatusOK, s.objects[where])
}

// isOutdated refuses a change of another resource version than the current one.
func (s *Server) isOutdated(w http.ResponseWriter, where string, body Object) bool {
	wanted := metadataOf(body)["resourceVersion"]
	if wanted == nil || wanted == metadataOf(s.objects[where])["resourceVersion"] {
		return false
	}
	Refuse(w, http.StatusConflict, "Conflict", "the object has been modified")
	return true
}

// store writes an object with a new resource version.
func (s *Server) store(where string, object Object) {
	s.version++
	metadata := metadataOf(object)
	metadata["resourceVersion"] = strconv.Itoa(s.version)
	if metadata["uid"] == nil {
		metadata["uid"] = "uid-" + strconv.Itoa(s.version)
	}
	if metadata["creationTimestamp"] == nil {
		metadata["creationTimestamp"] = time.Now().UTC().Format(time.RFC3339)
	}
	s.objects[where] = clone(object)
}

// remove deletes an object, and what is in it if it is a namespace.
func (s *Server) remove(where string) {
	delete(s.objects, where)
	namespace, ok := strings.CutPrefix(where, "/api/v1/namespaces/")
	if !ok || strings.Contains(namespace, "/") {
		return
	}
	for other := range s.objects {
		if strings.Contains(other, "/namespaces/"+namespace+"/") {
			delete(s.objects, other)
		}
	}
}

func merge(into, from Object) {
	for key, value := range from {
		if value == nil {
			delete(into, key)
			continue
		}
		inner, ok := value.(Object)
		target, both := into[key].(Object)
		if ok && both {
			merge(target, inner)
		} else {
			into[key] = value
		}
	}
}

func prune(object, before, now Object) {
	for key, old := range before {
		inner, ok := old.(Object)
		target, both := object[key].(Object)
		still, _ := now[key].(Object)
		switch {
		case ok && both:
			prune(target, inner, still)
			if len(target) == 0 && now[key] == nil {
				delete(object, key)
			}
		case now[key] == nil:
			delete(object, key)
		}
	}
}
