package standin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// manifest is a manifest or an index of images.
type manifest struct {
	mediaType types.MediaType
	content   []byte
}

// repository is what a registry has under one name: manifests by tag and by digest.
type repository map[string]manifest

// blob is a part of an image: a file, or its content.
type blob struct {
	file    string
	content []byte
}

// login is how a registry wants its clients to log in. The zero value wants nothing.
type login string

const (
	// token wants a token of the registry's token server, which everybody gets.
	token login = "token"
	// basic wants a name and a password.
	basic login = "basic"
)

// registry is a read-only registry with the API of OCI's distribution specification.
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md
type registry struct {
	repositories map[string]repository
	blobs        map[string]blob
	login        login
	// tokens is the URL of the token server.
	tokens string
	// objects is the server to which requests of blobs are redirected; empty: none.
	objects string
	// prefix precedes the names of repositories in a mirror of several registries.
	prefix map[string]*registry
}

var (
	manifestPath = regexp.MustCompile(`^/v2/(.+)/manifests/([^/]+)$`)
	blobPath     = regexp.MustCompile(`^/v2/(.+)/blobs/(sha256:[0-9a-f]{64})$`)
)

// bearer is the token that the token server gives for a scope.
func bearer(scope string) string {
	return "rehearsal." + strings.NewReplacer(":", ".", "/", ".").Replace(scope)
}

// admits asks the client to log in unless it has.
func (g *registry) admits(w http.ResponseWriter, r *http.Request, s *Server) bool {
	header := r.Header.Get("Authorization")
	switch g.login {
	case basic:
		name, password, ok := r.BasicAuth()
		if ok && name == s.MirrorUsername && password == s.MirrorPassword {
			return true
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="rehearsal"`)
	case token:
		scope := ""
		if m := manifestPath.FindStringSubmatch(r.URL.Path); m != nil {
			scope = "repository:" + m[1] + ":pull"
		} else if m := blobPath.FindStringSubmatch(r.URL.Path); m != nil {
			scope = "repository:" + m[1] + ":pull"
		}
		if scope != "" && header == "Bearer "+bearer(scope) {
			return true
		}
		challenge := fmt.Sprintf(`Bearer realm="https://%s",service="%s"`, g.tokens, r.Host)
		if scope != "" {
			challenge += fmt.Sprintf(`,scope="%s"`, scope)
		}
		w.Header().Set("WWW-Authenticate", challenge)
	default:
		return true
	}
	refuse(w, http.StatusUnauthorized, "UNAUTHORIZED")
	return false
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{map[string]string{"code": code, "message": code}}})
}

// serve answers a request.
func (g *registry) serve(w http.ResponseWriter, r *http.Request, s *Server) {
	w.Header().Set("Docker-Distribution-API-Version", "registry/2.0")
	if !g.admits(w, r, s) {
		return
	}
	path := r.URL.Path
	for prefix, mirrored := range g.prefix {
		if rest, ok := strings.CutPrefix(path, "/v2/"+prefix+"/"); ok {
			g, path = mirrored, "/v2/"+rest
			break
		}
	}
	if m := manifestPath.FindStringSubmatch(path); m != nil {
		found, ok := g.repositories[m[1]][m[2]]
		if !ok {
			refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN")
			return
		}
		w.Header().Set("Content-Type", string(found.mediaType))
		digest, _, _ := v1.SHA256(bytes.NewReader(found.content))
		w.Header().Set("Docker-Content-Digest", digest.String())
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(found.content))
		return
	}
	if m := blobPath.FindStringSubmatch(path); m != nil {
		found, ok := g.blobs[m[2]]
		switch {
		case !ok:
			refuse(w, http.StatusNotFound, "BLOB_UNKNOWN")
		case g.objects != "" && r.URL.Path == path:
			redirect(w, r, g.objects, "/blobs/"+m[2])
		default:
			w.Header().Set("Content-Type", "application/octet-stream")
			found.serve(w, r)
		}
		return
	}
	if path != "/v2/" {
		s.stray("GET https://%s%s", r.Host, r.URL.Path)
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN")
	}
}

// serve sends the content or a range of it.
func (b blob) serve(w http.ResponseWriter, r *http.Request) {
	if b.file != "" {
		http.ServeFile(w, r, b.file)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b.content))
}

// signature is the secret in the URL of a redirect.
const signature = "X-Signature=rehearsal-secret"

func redirect(w http.ResponseWriter, r *http.Request, host, path string) {
	http.Redirect(w, r, "https://"+host+path+"?"+signature, http.StatusTemporaryRedirect)
}
