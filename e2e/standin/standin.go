// Package standin stands in for the release servers and the registries that slipway
// downloads from: by their names, with certificates of a CA of its own, and only through
// a proxy that demands credentials. It records every request, and hurts some.
package standin

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// The servers to which others redirect, and the token servers. The names are those that
// redirects and challenges of the real servers have.
const (
	githubObjects = "release-assets.githubusercontent.com"
	dockerObjects = "production.cloudfront.docker.com"
	k8sObjects    = "prod-registry-k8s-io-us-east-1.s3.dualstack.us-east-1.amazonaws.com"
	dockerTokens  = "auth.docker.io"
)

// Mirror is the private registry, which has the images of all others below their names.
const Mirror = "mirror.example:5000"

// Request is one that a server got.
type Request struct {
	At time.Time
	// URL has no scheme and no query.
	Method, URL string
	// Range is the header; empty: all of it.
	Range string
	// Fault is what was done to it.
	Fault Kind
}

// Server stands in for all servers.
type Server struct {
	// Username and Password are those of the proxy, MirrorUsername and MirrorPassword those
	// of the mirror.
	Username, Password             string
	MirrorUsername, MirrorPassword string

	authority *authority
	incoming  chan net.Conn

	mu      sync.Mutex
	closers []io.Closer
	// files are by URL without scheme, registries by host and port.
	files      map[string]blob
	registries map[string]*registry
	names      map[string]bool
	faults     map[string][]*Fault
	requests   []Request
	strays     []string
	// connected and refused count the connections through the proxy.
	connected, refused int
}

// New starts a stand-in that has no files.
func New() (*Server, error) {
	ca, err := newAuthority()
	if err != nil {
		return nil, err
	}
	s := &Server{
		Username: "rehearsal", Password: "proxy/p@ss'word", MirrorUsername: "puller", MirrorPassword: "mirror-p@ss:word",
		authority: ca, incoming: make(chan net.Conn),
		files: map[string]blob{}, registries: map[string]*registry{}, names: map[string]bool{}, faults: map[string][]*Fault{},
	}
	server := &http.Server{
		Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0), ConnContext: withConnection,
	}
	listener := &queue{incoming: s.incoming, closed: make(chan struct{})}
	s.closers = append(s.closers, server)
	go func() { _ = server.Serve(listener) }()
	for _, name := range []string{githubObjects, dockerObjects, k8sObjects, dockerTokens} {
		s.names[name+":443"] = true
	}
	return s, nil
}

// Close ends all connections.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, c := range s.closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// CA returns the certificate of the CA.
func (s *Server) CA() []byte { return s.authority.pem() }

// Serve answers requests of a URL, without scheme, with a content.
func (s *Server) Serve(url string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file(url, blob{content: content})
}

// file adds a file and the name of its server. The caller holds the mutex.
func (s *Server) file(url string, b blob) {
	s.files[url] = b
	host, _, _ := strings.Cut(url, "/")
	s.names[host+":443"] = true
}

func (s *Server) knows(host, port string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names[net.JoinHostPort(host, port)]
}

func (s *Server) count(n *int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*n++
}

// stray records a request that should not be.
func (s *Server) stray(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.strays = append(s.strays, fmt.Sprintf(format, args...))
}

// Strays lists the requests of servers and files that the stand-in does not know.
func (s *Server) Strays() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.strays)
}

// Requests returns the requests since the last call.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.requests
	s.requests = nil
	return all
}

// Connections returns how many connections the proxy has made and refused.
func (s *Server) Connections() (connected, refused int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connected, s.refused
}

// Names lists the servers, with their ports.
func (s *Server) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// serve answers a request through the proxy.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	url := r.Host + r.URL.Path
	request := Request{At: time.Now(), Method: r.Method, URL: url, Range: r.Header.Get("Range")}
	var fault *Fault
	if r.Method == http.MethodGet {
		fault = s.fault(url)
	}
	if fault != nil {
		request.Fault = fault.Kind
	}
	s.mu.Lock()
	s.requests = append(s.requests, request)
	file, isFile := s.files[url]
	found := s.registries[r.Host]
	s.mu.Unlock()
	if fault != nil {
		if w = fault.hurt(w, r); w == nil {
			return
		}
	}
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		s.stray("%s %s", r.Method, url)
		http.Error(w, "read-only", http.StatusMethodNotAllowed)
	case r.URL.Path == "/token":
		fmt.Fprintf(w, `{"token":%q}`, bearer(r.URL.Query().Get("scope")))
	case found != nil && strings.HasPrefix(r.URL.Path, "/v2/"):
		found.serve(w, r, s)
	case isObject(r.Host):
		s.object(w, r)
	case !isFile:
		s.stray("%s %s", r.Method, url)
		http.NotFound(w, r)
	case strings.HasPrefix(url, "github.com/") && strings.Contains(url, "/releases/download/"):
		redirect(w, r, githubObjects, "/"+url)
	default:
		file.serve(w, r)
	}
}

func isObject(host string) bool {
	return host == githubObjects || host == dockerObjects || host == k8sObjects
}

// object serves what another server redirects to. As with the real ones, only the
// signature in the URL counts, and credentials of the other server are refused.
func (s *Server) object(w http.ResponseWriter, r *http.Request) {
	if r.URL.RawQuery != signature || r.Header.Get("Authorization") != "" {
		s.stray("%s %s%s with credentials %t", r.Method, r.Host, r.URL.Path, r.Header.Get("Authorization") != "")
		http.Error(w, "bad signature", http.StatusForbidden)
		return
	}
	s.mu.Lock()
	found, ok := s.files[strings.TrimPrefix(r.URL.Path, "/")]
	if digest, isBlob := strings.CutPrefix(r.URL.Path, "/blobs/"); isBlob {
		for _, g := range s.registries {
			if b, has := g.blobs[digest]; has {
				found, ok = b, true
			}
		}
	}
	s.mu.Unlock()
	if !ok {
		s.stray("%s %s%s", r.Method, r.Host, r.URL.Path)
		http.NotFound(w, r)
		return
	}
	found.serve(w, r)
}
