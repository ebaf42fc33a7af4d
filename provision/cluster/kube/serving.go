package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RefusedRequestError: a kubelet asks for more than its identity. The request stays
// pending, for a person to decide.
type RefusedRequestError struct {
	Request, Node string
	Err           error
}

func (e *RefusedRequestError) Error() string {
	return fmt.Sprintf("certificate signing request %s of node %s is not approved: %v", e.Request, e.Node, e.Err)
}

// Unwrap returns what the request asks for.
func (e *RefusedRequestError) Unwrap() error { return e.Err }

// ApproveServing approves the pending requests of the node's kubelet for a
// serving certificate that ask for no more than the identity, and returns their
// names. The error contains a *RefusedRequestError for each other request.
func (c *Client) ApproveServing(ctx context.Context, identity ServingIdentity) (approved []string, err error) {
	requests, err := c.pendingServing(ctx, identity.Node)
	if err != nil {
		return nil, err
	}
	var errs []error
	for i := range requests {
		request := &requests[i]
		if err := identity.allows(request); err != nil {
			errs = append(errs, &RefusedRequestError{Request: request.Name, Node: identity.Node, Err: err})
			continue
		}
		request.Status.Conditions = append(request.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
			Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue,
			Reason: "SlipwayApproved", Message: "the names and addresses are those of the inventory",
		})
		_, err := c.clientset.CertificatesV1().CertificateSigningRequests().UpdateApproval(ctx, request.Name, request, metav1.UpdateOptions{})
		if err != nil {
			errs = append(errs, fmt.Errorf("approve %s: %w", request.Name, err))
			continue
		}
		approved = append(approved, request.Name)
	}
	return approved, errors.Join(errs...)
}

// ServesUnsigned reports whether a TLS handshake with a kubelet failed because it has a
// certificate that the cluster did not sign, or none. Then it sends an alert.
func ServesUnsigned(err error) bool {
	var certificate *tls.CertificateVerificationError
	var alert *net.OpError
	return errors.As(err, &certificate) || errors.As(err, &alert) && alert.Op == "remote error"
}

// pendingServing returns the undecided requests of a node's kubelet.
func (c *Client) pendingServing(ctx context.Context, node string) ([]certificatesv1.CertificateSigningRequest, error) {
	list, err := c.clientset.CertificatesV1().CertificateSigningRequests().List(ctx, metav1.ListOptions{
		FieldSelector: "spec.signerName=" + certificatesv1.KubeletServingSignerName,
	})
	if err != nil {
		return nil, fmt.Errorf("list certificate signing requests: %w", err)
	}
	return slices.DeleteFunc(list.Items, func(r certificatesv1.CertificateSigningRequest) bool {
		return r.Spec.SignerName != certificatesv1.KubeletServingSignerName || r.Spec.Username != userOf(node) || len(r.Status.Conditions) > 0
	}), nil
}

// userOf is the user as which a kubelet authenticates to the API server.
func userOf(node string) string { return "system:node:" + node }

// nodesGroup is the group of all kubelets.
const nodesGroup = "system:nodes"

// allows returns an error if a request asks for more than the signer
// kubernetes.io/kubelet-serving and the identity permit.
func (i ServingIdentity) allows(request *certificatesv1.CertificateSigningRequest) error {
	block, _ := pem.Decode(request.Spec.Request)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return errors.New("it is not a certificate request in PEM")
	}
	asked, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return err
	}
	if err := asked.CheckSignature(); err != nil {
		return err
	}
	if !slices.Contains(request.Spec.Groups, nodesGroup) {
		return fmt.Errorf("its sender is not in the group %s", nodesGroup)
	}
	if asked.Subject.CommonName != userOf(i.Node) || !slices.Equal(asked.Subject.Organization, []string{nodesGroup}) {
		return fmt.Errorf("it is for %s of %s", asked.Subject.CommonName, strings.Join(asked.Subject.Organization, ", "))
	}
	if err := servingUsages(request.Spec.Usages); err != nil {
		return err
	}
	if len(asked.EmailAddresses)+len(asked.URIs) > 0 {
		return errors.New("it asks for e-mail addresses or URIs")
	}
	if len(asked.DNSNames)+len(asked.IPAddresses) == 0 {
		return errors.New("it asks for no name and no address")
	}
	for _, name := range asked.DNSNames {
		if err := i.allowsName(name); err != nil {
			return err
		}
	}
	for _, ip := range asked.IPAddresses {
		addr, ok := netip.AddrFromSlice(ip)
		if !ok {
			return fmt.Errorf("it asks for the address %s", ip)
		}
		if err := i.allowsAddress(addr.Unmap()); err != nil {
			return err
		}
	}
	return nil
}

func servingUsages(usages []certificatesv1.KeyUsage) error {
	allowed := []certificatesv1.KeyUsage{
		certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment, certificatesv1.UsageServerAuth,
	}
	for _, usage := range usages {
		if !slices.Contains(allowed, usage) {
			return fmt.Errorf("it asks for the usage %q", usage)
		}
	}
	if !slices.Contains(usages, certificatesv1.UsageServerAuth) {
		return errors.New("it does not ask for the usage server auth")
	}
	return nil
}
