package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/workflow"
)

// Where the console is, as templates/addons/headlamp.yaml.tmpl makes it.
const (
	consoleNamespace = "headlamp"
	consoleSelector  = "app.kubernetes.io/name=headlamp"
	consolePort      = 4466
	consoleAccount   = "console"
)

func newConsole(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "console",
		Short: "Open the web console Headlamp through a port-forward",
		Long: `Forward a port of this computer to the web console Headlamp (the addon headlamp),
through the SSH connection of the first control plane, and print its address with a
token to log in with. The token is that of an administrator and expires. It ends
with Ctrl-C.`,
		Example: "  slipway console\n  slipway console --port 8080 --token-ttl 15m",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.console(cmd.Context()) },
	}
	connectionFlags(cmd)
	cmd.Flags().Int("port", 0, "the port on this computer (default: any that is free)")
	cmd.Flags().Duration("token-ttl", time.Hour, "how long the token is good, 10 minutes at least")
	return cmd
}

func (a *app) console(ctx context.Context) error {
	cluster, path, err := a.inventory()
	if err != nil {
		return err
	}
	_, client, closeAll, err := a.connected(ctx, cluster, path)
	if err != nil {
		return err
	}
	defer closeAll()
	pod, err := consolePod(ctx, client)
	if err != nil {
		return workflow.WithHint(err, "install it with `slipway addon enable headlamp`, or look: slipway addon status")
	}
	seconds := int64(a.settings.GetDuration("token-ttl").Seconds())
	token, err := client.Clientset().CoreV1().ServiceAccounts(consoleNamespace).CreateToken(ctx, consoleAccount,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("token of the console: %w", err)
	}
	return client.Forward(ctx, consoleNamespace, pod, a.settings.GetInt("port"), consolePort, func(local int) {
		fmt.Fprintf(a.out, "http://127.0.0.1:%d\n%s\n", local, token.Status.Token)
		fmt.Fprintf(a.err, "The second line is the token to log in with, until %s. Ctrl-C ends the forwarding.\n",
			token.Status.ExpirationTimestamp.Local().Format(time.TimeOnly))
	})
}

// consolePod is a pod of the console that is ready.
func consolePod(ctx context.Context, client *kube.Client) (string, error) {
	pods, err := client.Clientset().CoreV1().Pods(consoleNamespace).List(ctx, metav1.ListOptions{LabelSelector: consoleSelector})
	if err != nil {
		return "", fmt.Errorf("look for the console: %w", err)
	}
	err = errors.New("the cluster has no console")
	for i := range pods.Items {
		ready, why := kube.PodIsReady(&pods.Items[i])
		if ready {
			return pods.Items[i].Name, nil
		}
		err = fmt.Errorf("the console does not run: pod %s: %s", pods.Items[i].Name, why)
	}
	return "", err
}
