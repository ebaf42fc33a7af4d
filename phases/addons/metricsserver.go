package addons

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/cluster/addon"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

// The names of metrics-server's certificate.
const (
	metricsSecret  = "metrics-server-tls"
	metricsService = "metrics-server.kube-system.svc"
	// certificateLife is that of kubeadm's authorities: nothing renews the
	// certificate between two runs.
	certificateLife = 10 * 365 * 24 * time.Hour
	// renewBefore is how long before its expiry a certificate is renewed.
	renewBefore = 365 * 24 * time.Hour
)

func metricsServer() definition {
	return definition{
		name:  config.AddonMetricsServer,
		title: "install metrics-server",
		why: "kubectl top and the HorizontalPodAutoscaler need it. It verifies the kubelets' certificates, which the cluster " +
			"signs, and the API server verifies its certificate.",
		manual: []string{"kubectl apply --server-side -f components.yaml    # without --kubelet-insecure-tls"},
		stages: func(ctx context.Context, s *workflow.Step, a config.Addon) ([]addon.Stage, error) {
			image, err := addon.Image(s, a.Name, "registry.k8s.io/metrics-server/metrics-server")
			if err != nil {
				return nil, err
			}
			certificate, key, err := metricsCertificate(ctx, s)
			if err != nil {
				return nil, err
			}
			sum := sha256.Sum256(certificate)
			objects, err := addon.Render("addons/metrics-server.yaml.tmpl", struct{ Image, Certificate, Key, Fingerprint string }{
				Image: image, Fingerprint: hex.EncodeToString(sum[:8]),
				Certificate: base64.StdEncoding.EncodeToString(certificate), Key: base64.StdEncoding.EncodeToString(key),
			})
			return []addon.Stage{{Objects: objects}}, err
		},
	}
}

// metricsCertificate returns the certificate in the cluster if it is still valid,
// otherwise a new one, in PEM.
func metricsCertificate(ctx context.Context, s *workflow.Step) (certificate, key []byte, err error) {
	client, err := s.Kube(ctx)
	if err != nil {
		return nil, nil, err
	}
	secret, err := client.Clientset().CoreV1().Secrets("kube-system").Get(ctx, metricsSecret, metav1.GetOptions{})
	if err == nil && kube.Serves(secret.Data["tls.crt"], secret.Data["tls.key"], metricsService, renewBefore) {
		return secret.Data["tls.crt"], secret.Data["tls.key"], nil
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, nil, err
	}
	return kube.SelfSigned(metricsService, certificateLife)
}
