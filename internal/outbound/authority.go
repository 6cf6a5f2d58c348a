package outbound

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// MaxAuthorities bounds a bundle of authorities' certificates, in bytes (spec/gateway.md
// 3.1).
const MaxAuthorities = 16 << 10

// Authorities returns the certificates (PEM) of a bundle, and nothing of what stands around
// them. It refuses what is no bundle of authorities that are valid now. Every block must be
// good: what is passed over in silence is missed when it matters. The error's text is for
// whoever gave the bundle.
func Authorities(text []byte, now time.Time) ([]byte, error) {
	if len(text) > MaxAuthorities {
		return nil, fmt.Errorf("the bundle has %d bytes; it may have at most %d", len(text), MaxAuthorities)
	}
	n, out := 0, []byte(nil)
	for rest := text; ; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("the bundle has a PEM block of type '%.100s'; it may have CERTIFICATE alone, and never a private key", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be read: %w", n+1, err)
		}
		if err := authority(c, now); err != nil {
			return nil, fmt.Errorf("certificate %d, of '%.100s', %w", n+1, c.Subject.String(), err)
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})...)
	}
	switch begun := bytes.Count(text, []byte("-----BEGIN ")); {
	case begun > n:
		return nil, fmt.Errorf("%d of %d PEM blocks of the bundle cannot be read. Check for lines that are missing, or joined", begun-n, begun)
	case n == 0:
		return nil, errors.New("the bundle has no PEM block of type CERTIFICATE")
	}
	return out, nil
}

func authority(c *x509.Certificate, now time.Time) error {
	switch {
	case !c.BasicConstraintsValid || !c.IsCA:
		return errors.New("is not an authority's: CA:TRUE is not among its basic constraints. Give the certificate of the authority that signed the server's")
	case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
		return errors.New("may sign no certificates: keyCertSign is not among its key usages")
	case now.After(c.NotAfter):
		return fmt.Errorf("expired on %s", c.NotAfter.Format(time.DateOnly))
	case now.Before(c.NotBefore):
		return fmt.Errorf("is not valid before %s", c.NotBefore.Format(time.DateOnly))
	}
	return nil
}

// Trusting are the authorities of a bundle beside roots, where nil is the system's.
func Trusting(roots *x509.CertPool, text []byte) (*x509.CertPool, error) {
	if roots == nil {
		return RootsWith(text)
	}
	roots = roots.Clone()
	if !roots.AppendCertsFromPEM(text) {
		return nil, errors.New("read certificates to trust: there is no certificate in PEM form")
	}
	return roots, nil
}
