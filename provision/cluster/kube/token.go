package kube

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
)

// Names of bootstrap token Secrets: k8s.io/cluster-bootstrap/token/api, and
// kubeadm's NodeBootstrapTokenAuthGroup.
const (
	tokenSecretPrefix = "bootstrap-token-"
	tokenGroup        = "system:bootstrappers:kubeadm:default-node-token"
	// tokenDescription tells the tokens of CreateBootstrapToken from others.
	tokenDescription = "created by slipway to join hosts"
)

// CreateBootstrapToken creates a token ("[a-z0-9]{6}.[a-z0-9]{16}") with which
// kubelets can join for ttl, as `kubeadm token create` does. Then the token
// cleaner deletes it; DeleteBootstrapToken does so earlier. The token does not
// sign the cluster-info ConfigMap, which discovery by file does not need.
func (c *Client) CreateBootstrapToken(ctx context.Context, ttl time.Duration) (token string, err error) {
	// Base32 of 128 random bits each; a secret of 16 letters keeps 80 of them.
	id := strings.ToLower(rand.Text())[:6]
	secret := strings.ToLower(rand.Text())[:16]
	object := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: tokenSecretPrefix + id, Namespace: metav1.NamespaceSystem},
		Type:       corev1.SecretTypeBootstrapToken,
		// client-go's fake does not convert StringData.
		Data: map[string][]byte{
			"token-id":                       []byte(id),
			"token-secret":                   []byte(secret),
			"description":                    []byte(tokenDescription),
			"expiration":                     []byte(time.Now().Add(ttl).UTC().Format(time.RFC3339)),
			"usage-bootstrap-authentication": []byte("true"),
			"usage-bootstrap-signing":        []byte("false"),
			"auth-extra-groups":              []byte(tokenGroup),
		},
	}
	tries := 0
	err = retryTransient(ctx, func() error {
		tries++
		_, err := c.clientset.CoreV1().Secrets(metav1.NamespaceSystem).Create(ctx, object, metav1.CreateOptions{FieldManager: FieldManager})
		if tries > 1 && apierrors.IsAlreadyExists(err) {
			return nil // an earlier try created it, and its answer was lost
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("create bootstrap token: %w", err)
	}
	return id + "." + secret, nil
}

// JoinTokens returns the IDs of the tokens that CreateBootstrapToken created and that
// still exist, whoever called it.
func (c *Client) JoinTokens(ctx context.Context) ([]string, error) {
	list, err := c.clientset.CoreV1().Secrets(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("type", string(corev1.SecretTypeBootstrapToken)).String(),
	})
	if err != nil {
		return nil, fmt.Errorf("list bootstrap tokens: %w", err)
	}
	var ids []string
	for _, secret := range list.Items {
		if string(secret.Data["description"]) == tokenDescription {
			ids = append(ids, string(secret.Data["token-id"]))
		}
	}
	return ids, nil
}

// DeleteBootstrapToken revokes a token, which may be its ID alone. It is no error if the
// token does not exist.
func (c *Client) DeleteBootstrapToken(ctx context.Context, token string) error {
	id, _, _ := strings.Cut(token, ".")
	err := retryTransient(ctx, func() error {
		return c.clientset.CoreV1().Secrets(metav1.NamespaceSystem).Delete(ctx, tokenSecretPrefix+id, metav1.DeleteOptions{})
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete bootstrap token %s: %w", id, err)
	}
	return nil
}
