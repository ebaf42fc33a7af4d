package validate

import (
	"context"
	"fmt"
	"strings"
)

// For exec and logs the API server connects to the kubelet at the address of the
// node. Both fail if nodes register with a wrong address, as behind NAT, while
// everything else works.

// execTasks run a command in each test pod.
func execTasks(_ context.Context, r *run) []task {
	return r.onEachNode(func(ctx context.Context, node testNode) (string, error) {
		out, err := r.fixture.prober.exec(ctx, node.pod, "/agnhost", "--version")
		if err != nil {
			return "", err
		}
		if strings.TrimSpace(out) == "" {
			return "", fmt.Errorf("/agnhost --version in %s printed nothing", node.pod)
		}
		return "/agnhost --version: " + strings.TrimSpace(out), nil
	})
}

// logTasks read the log of each test pod.
func logTasks(_ context.Context, r *run) []task {
	return r.onEachNode(func(ctx context.Context, node testNode) (string, error) {
		text, err := r.fixture.prober.logs(ctx, node.pod)
		if err != nil {
			return "", err
		}
		// What agnhost netexec logs when it starts.
		_, line, found := strings.Cut(text, "Started HTTP server")
		if !found {
			return "", fmt.Errorf("the log of %s lacks the first line of agnhost: %q", node.pod, head(text, 200))
		}
		line, _, _ = strings.Cut(line, "\n")
		return "log of " + node.pod + ": Started HTTP server" + line, nil
	})
}

// head is the beginning of a text; length is in bytes.
func head(text string, length int) string {
	if len(text) <= length {
		return text
	}
	return strings.ToValidUTF8(text[:length], "") + "…"
}
