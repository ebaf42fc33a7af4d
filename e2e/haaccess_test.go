package e2e

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestLongestGap(t *testing.T) {
	t.Parallel()
	start := time.Unix(0, 0)
	for name, test := range map[string]struct {
		answered []int // seconds after start
		want     int
	}{
		"without an answer is the whole time":     {nil, 20},
		"between two answers":                     {[]int{11, 12, 17, 19, 28}, 9},
		"before the first answer":                 {[]int{18, 20, 22, 24, 26, 28}, 8},
		"after the last answer":                   {[]int{11, 13, 15, 17}, 13},
		"leaves out what is before and after":     {[]int{1, 9, 12, 14, 16, 18, 20, 22, 24, 26, 28, 31}, 2},
		"of one answer at the end is almost that": {[]int{30}, 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var answered []time.Time
			for _, seconds := range test.answered {
				answered = append(answered, start.Add(time.Duration(seconds)*time.Second))
			}
			got := longestGap(answered, start.Add(10*time.Second), start.Add(30*time.Second))
			if want := time.Duration(test.want) * time.Second; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestMedianOfGaps(t *testing.T) {
	t.Parallel()
	if got := median([]time.Duration{9, 1, 5}); got != 5 {
		t.Errorf("of three: %d", got)
	}
	if got := median([]time.Duration{100, 1, 4, 8}); got != 6 {
		t.Errorf("of four: %d", got)
	}
}

// apiServer answers a client with the certificate of its kubeconfig.
type apiServer struct {
	*httptest.Server
	connections atomic.Int32
	kubeconfig  []byte
}

func newAPIServer(t *testing.T, handler http.HandlerFunc) *apiServer {
	t.Helper()
	certificate, certificatePEM, keyPEM := clientCertificate(t)
	clients := x509.NewCertPool()
	clients.AddCert(certificate)
	s := &apiServer{Server: httptest.NewUnstartedServer(handler)}
	s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients, MinVersion: tls.VersionTLS12}
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.connections.Add(1)
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	encode := base64.StdEncoding.EncodeToString
	s.kubeconfig = fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: lab, cluster: {server: "%s", certificate-authority-data: %s}}]
users: [{name: admin, user: {client-certificate-data: %s, client-key-data: %s}}]
`, s.URL, encode(ca), encode(certificatePEM), encode(keyPEM))
	return s
}

func clientCertificate(t *testing.T) (certificate *x509.Certificate, certificatePEM, keyPEM []byte) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err = x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
}

func (s *apiServer) access(t *testing.T) access {
	t.Helper()
	a, err := accessOf(s.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestEachRequestOpensAConnection(t *testing.T) {
	t.Parallel()
	server := newAPIServer(t, func(http.ResponseWriter, *http.Request) {})
	client := newClient(server.access(t).at(server.URL))
	started := time.Now()
	for range 5 {
		client.ask(t.Context())
	}
	if n := client.count(started); n != 5 || server.connections.Load() != 5 {
		t.Errorf("%d answers on %d connections, want 5 on 5: %s", n, server.connections.Load(), client)
	}
}

func TestAClientMeasuresAnOutage(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	server := newAPIServer(t, func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	client := newClient(server.access(t))
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { client.run(ctx) })
	answers(t, client)
	down.Store(true)
	from := time.Now()
	<-time.After(700 * time.Millisecond)
	down.Store(false)
	answers(t, client)
	gap := client.gap(from, time.Now())
	stop()
	running.Wait()
	if gap < 600*time.Millisecond {
		t.Errorf("the longest gap is %s: %s", gap, client)
	}
	if text := client.String(); !strings.Contains(text, "503 Service Unavailable") {
		t.Errorf("the reason is missing: %s", text)
	}
}

// answers waits until a client has three more answers.
func answers(t *testing.T, c *client) {
	t.Helper()
	since := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for c.count(since) < 3 {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
		if time.Since(since) > 30*time.Second {
			t.Fatalf("no answers: %s", c)
		}
	}
}

func TestAKubeconfigWithoutCredentialsIsRefused(t *testing.T) {
	t.Parallel()
	for name, conf := range map[string]string{
		"no cluster":     "users: [{user: {}}]",
		"no certificate": "clusters: [{cluster: {server: https://192.0.2.1}}]\nusers: [{user: {}}]",
	} {
		if _, err := accessOf([]byte(conf)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestAReasonHasNoPort(t *testing.T) {
	t.Parallel()
	if got := reason(fmt.Errorf("dial tcp 192.0.2.1:40112: %w", errors.New("connection refused"))); got != "connection refused" {
		t.Errorf("got %q", got)
	}
}

// configMaps is the part of the API that a writer uses. It stores an object unless
// store returns false, and answers with the status of answer.
type configMaps struct {
	mu     sync.Mutex
	names  []string
	store  func(number int) bool
	answer func(number int) int
}

func (m *configMaps) serve(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.Method == http.MethodPost {
		var object struct{ Metadata struct{ Name string } }
		_ = json.NewDecoder(r.Body).Decode(&object)
		number, _ := strconv.Atoi(strings.TrimPrefix(object.Metadata.Name, "written-"))
		if m.store(number) {
			m.names = append(m.names, object.Metadata.Name)
		}
		w.WriteHeader(m.answer(number))
		return
	}
	query := r.URL.Query()
	limit, _ := strconv.Atoi(query.Get("limit"))
	first, _ := strconv.Atoi(query.Get("continue"))
	last, next := min(first+limit, len(m.names)), ""
	if last < len(m.names) {
		next = strconv.Itoa(last)
	}
	items := []any{}
	for _, name := range m.names[first:last] {
		items = append(items, map[string]any{"metadata": map[string]string{"name": name}})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"metadata": map[string]string{"continue": next}, "items": items})
}

func TestAWriterFindsWhatIsLost(t *testing.T) {
	t.Parallel()
	maps := &configMaps{
		// The third is acknowledged and not stored, the fifth stored and not acknowledged.
		store: func(number int) bool { return number != 3 && number != 4 },
		answer: func(number int) int {
			if number == 4 || number == 5 {
				return http.StatusInternalServerError
			}
			return http.StatusCreated
		},
	}
	writer := newWriter(newAPIServer(t, maps.serve).access(t))
	writer.pageSize = 2
	for number := 1; number <= 8; number++ {
		writer.write(t.Context(), number)
	}
	if acknowledged, refused := writer.counts(); acknowledged != 6 || refused != 2 {
		t.Errorf("%d acknowledged, %d refused", acknowledged, refused)
	}
	lost, err := writer.lost(t.Context())
	if err != nil || !slices.Equal(lost, []string{"written-000003"}) {
		t.Errorf("got %q, %v", lost, err)
	}
}

func TestAWriterWritesUntilItIsStopped(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	maps := &configMaps{
		store: func(int) bool { return true },
		answer: func(number int) int {
			if number == 3 {
				stop()
			}
			return http.StatusCreated
		},
	}
	writer := newWriter(newAPIServer(t, maps.serve).access(t))
	writer.run(ctx)
	if acknowledged, _ := writer.counts(); acknowledged < 2 || acknowledged > 3 {
		t.Errorf("%d acknowledged", acknowledged)
	}
	if lost, err := writer.lost(t.Context()); err != nil || len(lost) > 0 {
		t.Errorf("got %q, %v", lost, err)
	}
}
