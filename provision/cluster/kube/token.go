package kube

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Names of bootstrap token Secrets: k8s.io/cluster-bootstrap/token/api, and
// kubeadm's NodeBootstrapTokenAuthGroup.
const (
	tokenSecretPrefix = "bootstrap-token-"
	tokenGroup        = "system:bootstrappers:kubeadm:default-node-token"
)

// TokenOptions tune a bootstrap token.
type TokenOptions struct {
	// Signing lets the token also sign the cluster-info ConfigMap, which
	// kubeadm's token discovery needs and file discovery does not.
	Signing bool
}

// CreateBootstrapToken makes a token ("[a-z0-9]{6}.[a-z0-9]{16}") with which
// kubelets may join for ttl, as `kubeadm token create` does. The token cleaner
// removes it after that; DeleteBootstrapToken does it earlier.
func (c *Client) CreateBootstrapToken(ctx context.Context, ttl time.Duration, options ...TokenOptions) (token string, err error) {
	signing := false
	for _, o := range options {
		signing = signing || o.Signing
	}
	// Base32 of 128 random bits each; a secret of 16 letters keeps 80 of them.
	id := strings.ToLower(rand.Text())[:6]
	secret := strings.ToLower(rand.Text())[:16]
	object := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: tokenSecretPrefix + id, Namespace: metav1.NamespaceSystem},
		Type:       corev1.SecretTypeBootstrapToken,
		// Data, not StringData: what client-go's fake keeps is what it is given.
		Data: map[string][]byte{
			"token-id":                       []byte(id),
			"token-secret":                   []byte(secret),
			"description":                    []byte("made by slipway to join hosts"),
			"expiration":                     []byte(time.Now().Add(ttl).UTC().Format(time.RFC3339)),
			"usage-bootstrap-authentication": []byte("true"),
			"usage-bootstrap-signing":        []byte(strconv.FormatBool(signing)),
			"auth-extra-groups":              []byte(tokenGroup),
		},
	}
	tries := 0
	err = retryTransient(ctx, func() error {
		tries++
		_, err := c.clientset.CoreV1().Secrets(metav1.NamespaceSystem).Create(ctx, object, metav1.CreateOptions{FieldManager: FieldManager})
		if tries > 1 && apierrors.IsAlreadyExists(err) {
			return nil // an earlier try made it, though its answer was lost
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("create bootstrap token: %w", err)
	}
	return id + "." + secret, nil
}

// DeleteBootstrapToken revokes a token. One that is gone already is no error.
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
