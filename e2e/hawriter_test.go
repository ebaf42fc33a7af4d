package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"
)

const (
	// writeInterval is the time between the end of a request and the next one.
	writeInterval = 200 * time.Millisecond
	// writeTimeout ends a request to an API server that is gone.
	writeTimeout = 3 * time.Second
	// writePath are the objects of a writer, which writeLabel selects.
	writePath  = "/api/v1/namespaces/default/configmaps"
	writeLabel = "slipway.io/e2e=writer"
)

// writer creates numbered ConfigMaps, one after the other, and remembers those whose
// creation the API server acknowledged.
type writer struct {
	access
	// pageSize is the number of objects in one answer to a list.
	pageSize int

	mu           sync.Mutex
	acknowledged []string
	// refused counts the requests without an acknowledgement. Their objects may exist.
	refused int
}

func newWriter(a access) *writer { return &writer{access: a, pageSize: 500} }

// run writes until the context ends. Each number is tried once.
func (w *writer) run(ctx context.Context) {
	tick := time.NewTicker(writeInterval)
	defer tick.Stop()
	for number := 1; ; number++ {
		w.write(ctx, number)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (w *writer) write(ctx context.Context, number int) {
	limited, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	name := fmt.Sprintf("written-%06d", number)
	object := fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q,"labels":{"slipway.io/e2e":"writer"}}}`, name)
	_, err := w.do(limited, http.MethodPost, writePath, object, http.StatusCreated)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.acknowledged = append(w.acknowledged, name)
	} else if ctx.Err() == nil {
		w.refused++
	}
}

// lost returns the acknowledged objects that do not exist.
func (w *writer) lost(ctx context.Context) ([]string, error) {
	w.mu.Lock()
	acknowledged := w.acknowledged
	w.mu.Unlock()
	exist := map[string]bool{}
	for next := ""; ; {
		query := url.Values{"labelSelector": {writeLabel}, "limit": {fmt.Sprint(w.pageSize)}, "continue": {next}}
		content, err := w.do(ctx, http.MethodGet, writePath+"?"+query.Encode(), "", http.StatusOK)
		if err != nil {
			return nil, err
		}
		var list struct {
			Metadata struct{ Continue string }
			Items    []struct{ Metadata struct{ Name string } }
		}
		if err := json.Unmarshal(content, &list); err != nil {
			return nil, err
		}
		for _, item := range list.Items {
			exist[item.Metadata.Name] = true
		}
		if next = list.Metadata.Continue; next == "" {
			break
		}
	}
	var lost []string
	for _, name := range acknowledged {
		if !exist[name] {
			lost = append(lost, name)
		}
	}
	return lost, nil
}

// counts returns the numbers of acknowledged and refused writes.
func (w *writer) counts() (acknowledged, refused int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acknowledged), w.refused
}
