package ca

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/awshost"
)

const (
	// leafLife is how long a leaf is good for. None is ever written to a disk, so
	// it only has to outlast the connections made with it; clients refuse those
	// that live for years.
	leafLife = 7 * 24 * time.Hour
	// renewBefore is when the next one is made.
	renewBefore = 2 * 24 * time.Hour
	// skew is how much a client's clock may be behind ours.
	skew = time.Hour
	// maxLeaves bounds the cache: whoever can connect can ask for names.
	maxLeaves = 512
)

// leaf is a certificate in the cache.
type leaf struct {
	cert *tls.Certificate
	used uint64
}

// Leaf returns the certificate for one name or address, of which it holds no
// other: a bucket's name may have dots, which no wildcard covers. The error is a
// *ScopeError for what the authority may not sign for.
func (a *Authority) Leaf(name string) (*tls.Certificate, error) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.minted++
	if l := a.leaves[name]; l != nil && now.Before(l.cert.Leaf.NotAfter.Add(-renewBefore)) && !now.Before(l.cert.Leaf.NotBefore) {
		l.used = a.minted
		return l.cert, nil
	}
	if err := a.covers(name); err != nil {
		return nil, err
	}
	cert, err := a.sign(name, now)
	if err != nil {
		return nil, fmt.Errorf("sign certificate for %s: %w", name, err)
	}
	if len(a.leaves) >= maxLeaves {
		a.forget()
	}
	a.leaves[name] = &leaf{cert, a.minted}
	return cert, nil
}

// forget drops the leaf that has not been used for longest.
func (a *Authority) forget() {
	oldest := ""
	for name, l := range a.leaves {
		if oldest == "" || l.used < a.leaves[oldest].used {
			oldest = name
		}
	}
	delete(a.leaves, oldest)
}

// covers reports whether name is in the scope, and else is a *ScopeError.
func (a *Authority) covers(name string) error {
	if addr, err := netip.ParseAddr(name); err == nil && addr.Zone() == "" {
		for _, r := range a.intermediate.PermittedIPRanges {
			if r.Contains(addr.Unmap().AsSlice()) {
				return nil
			}
		}
		return &ScopeError{name}
	}
	clean, ok := awshost.Clean(name)
	if ok && slices.ContainsFunc(a.intermediate.PermittedDNSDomains, func(d string) bool { return clean == d || strings.HasSuffix(clean, "."+d) }) {
		return nil
	}
	return &ScopeError{name}
}

// sign makes a leaf.
func (a *Authority) sign(name string, now time.Time) (*tls.Certificate, error) {
	t := &x509.Certificate{
		// No common name: some clients would take it for a host name, and hold it
		// to the constraints.
		Subject:   pkix.Name{Organization: []string{"Outcrop"}},
		NotBefore: now.Add(-skew), NotAfter: earlier(now.Add(leafLife), a.intermediate.NotAfter),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		t.IPAddresses = []net.IP{addr.Unmap().AsSlice()}
	} else {
		t.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.intermediate, a.leafKey.Public(), a.signer)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.intermediate.Raw}, PrivateKey: a.leafKey, Leaf: parsed}, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
