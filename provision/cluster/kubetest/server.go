// Package kubetest is an API server for tests, over TLS, on the loopback or in
// memory. It does what client-go's fakes do not: discovery, server-side apply, dry
// runs, resource versions that change only with the object, namespaces that must
// exist, and requests that are not for objects.
//
// It has no schema: lists are replaced as a whole, and nothing is defaulted. It
// has no watches and no finalizers.
package kubetest

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/yaml"
)

// Object is an API object as decoded JSON.
type Object = map[string]any

// Server is the API server of one test.
type Server struct {
	// Dial connects to the server; nil if it is on the loopback.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	server *httptest.Server

	mu        sync.Mutex
	intercept func(w http.ResponseWriter, r *http.Request) bool
	onCreate  func(object Object)

	kinds   []kind
	objects map[string]Object // by API path
	applied map[string]Object // what was applied last, by API path and manager
	version int
	// requests other than GET, "PATCH /api/v1/…?query".
	requests []string
}

// New starts a server on the loopback that ends with the test. It has only the
// namespace kube-system. Its certificate is valid for 127.0.0.1, and for other addresses.
func New(t testing.TB, others ...string) *Server {
	t.Helper()
	return start(t, nil, others...)
}

// NewInMemory starts a server that only its Dial reaches, for a bubble of
// testing/synctest.
func NewInMemory(t testing.TB) *Server {
	t.Helper()
	return start(t, Listen())
}

func start(t testing.TB, memory *Listener, addresses ...string) *Server {
	t.Helper()
	s := &Server{kinds: builtin(), objects: make(map[string]Object), applied: make(map[string]Object)}
	s.server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	if memory != nil {
		_ = s.server.Listener.Close() // that of the loopback
		s.server.Listener, s.Dial = memory, memory.Dial
	}
	if len(addresses) > 0 {
		s.server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t, append(addresses, "127.0.0.1"))}}
	}
	s.server.EnableHTTP2 = true
	s.server.StartTLS()
	t.Cleanup(s.server.Close)
	// Every API server creates it when it starts.
	s.PutObject(Object{"apiVersion": "v1", "kind": "Namespace", "metadata": Object{"name": "kube-system"}})
	return s
}

// URL returns the server's address: "https://127.0.0.1:port".
func (s *Server) URL() string { return s.server.URL }

// CA returns the server's certificate in PEM.
func (s *Server) CA() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.server.Certificate().Raw})
}

// Kubeconfig returns a kubeconfig with a token, for the server's address or, if
// not empty, for server ("https://host:port").
func (s *Server) Kubeconfig(server string) []byte {
	if server == "" {
		server = s.URL()
	}
	config, err := yaml.Marshal(Object{
		"apiVersion": "v1", "kind": "Config", "current-context": "admin@test",
		"clusters": []Object{{"name": "test", "cluster": Object{"server": server, "certificate-authority-data": s.CA()}}},
		"users":    []Object{{"name": "admin", "user": Object{"token": "test-token"}}},
		"contexts": []Object{{"name": "admin@test", "context": Object{"cluster": "test", "user": "admin"}}},
	})
	if err != nil {
		panic(err)
	}
	return config
}

// Intercept lets f see each request first from now on; nil ends that. f reports
// whether it has answered: for /readyz, pod proxies, logs, exec, and injected errors.
func (s *Server) Intercept(f func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = f
}

// OnCreate calls f, in place of controllers, after each object that is created from
// now on. It may call Put.
func (s *Server) OnCreate(f func(object Object)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onCreate = f
}

// Put stores objects in YAML, as a controller would.
func (s *Server) Put(manifests string) {
	for _, document := range strings.Split(manifests, "\n---\n") {
		var object Object
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			panic(err)
		}
		s.PutObject(object)
	}
}

// PutObject stores an object.
func (s *Server) PutObject(object Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, err := s.pathOf(object)
	if err != nil {
		panic(err)
	}
	s.store(path, object)
}

// Get returns a copy of the object at an API path, nil if there is none.
func (s *Server) Get(path string) Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.objects[path] == nil {
		return nil
	}
	return clone(s.objects[path])
}

// Requests returns the requests so far other than GET, dry runs included:
// "METHOD path?query".
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests...)
}

// Answer writes an object, or any other value as JSON.
func Answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the client may be gone
}

// Refuse writes a Status, as API servers do for errors.
func Refuse(w http.ResponseWriter, code int, reason, message string) {
	Answer(w, code, Object{
		"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message,
	})
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	intercept := s.intercept
	s.mu.Unlock()
	if intercept != nil && intercept(w, r) {
		return
	}
	s.mu.Lock()
	if r.Method != http.MethodGet {
		s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI())
	}
	created, onCreate := s.answer(w, r), s.onCreate
	s.mu.Unlock()
	if created != nil && onCreate != nil {
		onCreate(created)
	}
}

func notFound(w http.ResponseWriter, path string) {
	Refuse(w, http.StatusNotFound, "NotFound", fmt.Sprintf("%s not found", path))
}

func clone(object Object) Object {
	text, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	var copied Object
	if err := json.Unmarshal(text, &copied); err != nil {
		panic(err)
	}
	return copied
}
