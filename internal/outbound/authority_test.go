package outbound_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/outbound"
)

// TestAuthorities: of a bundle its certificates are kept, and nothing that stands around them.
func TestAuthorities(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	of := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	want := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	bundle := append([]byte("password=hunter2\n"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Headers: map[string]string{"Password": "hunter2"}, Bytes: der})...)
	bundle = append(bundle, "hunter2\n"...)
	if got, err := outbound.Authorities(bundle, now); err != nil || string(got) != string(want) {
		t.Errorf("%v: %s", err, got)
	}
}
