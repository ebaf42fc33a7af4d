package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/workflow"
)

// Where the console runs, as in templates/addons/headlamp.yaml.tmpl.
const (
	consoleNamespace = "headlamp"
	consoleSelector  = "app.kubernetes.io/name=headlamp"
	consolePort      = 4466
	consoleAccount   = "console"
)

// Console forwards a port of localhost to the web console.
type Console struct {
	// Port of localhost; 0 for any free one.
	Port int
	// TokenTTL is the lifetime of the token.
	TokenTTL time.Duration
	// Opened is called when the port accepts connections.
	Opened func(port int, token string, expires time.Time)
}

// Phase forwards until the context ends.
func (c Console) Phase() workflow.Phase {
	return workflow.Phase{
		Name:  "console",
		Title: "forward a port to the web console",
		Why:   "The console has no port that others can reach, and no user without a token.",
		Manual: []string{
			"kubectl -n headlamp create token console",
			"kubectl -n headlamp port-forward svc/headlamp 8080:80",
		},
		On:       workflow.Localhost,
		ReadOnly: true,
		Do:       c.forward,
	}
}

func (c Console) forward(ctx context.Context, s *workflow.Step) error {
	client, err := s.Kube(ctx)
	if err != nil {
		return err
	}
	pod, err := consolePod(ctx, client)
	if err != nil {
		return workflow.WithHint(err, "install it with `slipway addon enable headlamp`; `slipway addon status` shows its state")
	}
	seconds := int64(c.TokenTTL.Seconds())
	token, err := client.Clientset().CoreV1().ServiceAccounts(consoleNamespace).CreateToken(ctx, consoleAccount,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create a token for the console: %w", err)
	}
	return client.Forward(ctx, consoleNamespace, pod, c.Port, consolePort, func(local int) {
		c.Opened(local, token.Status.Token, token.Status.ExpirationTimestamp.Time)
	})
}

// consolePod is a ready pod of the console.
func consolePod(ctx context.Context, client *kube.Client) (string, error) {
	pods, err := client.Clientset().CoreV1().Pods(consoleNamespace).List(ctx, metav1.ListOptions{LabelSelector: consoleSelector})
	if err != nil {
		return "", fmt.Errorf("list the console's pods: %w", err)
	}
	err = errors.New("the console is not installed")
	for i := range pods.Items {
		ready, why := kube.PodIsReady(&pods.Items[i])
		if ready {
			return pods.Items[i].Name, nil
		}
		err = fmt.Errorf("the console is not ready: pod %s: %s", pods.Items[i].Name, why)
	}
	return "", err
}
