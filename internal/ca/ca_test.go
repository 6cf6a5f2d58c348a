package ca_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/ca"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
)

// kit is an authority in a directory of its own.
type kit struct {
	*ca.Authority
	dir string
	box *secret.Box
	now time.Time
}

func newKit(t testing.TB, names ...string) *kit {
	t.Helper()
	k := &kit{dir: filepath.Join(t.TempDir(), "ca"), now: time.Now(), box: secrettest.Box(t)}
	var err error
	if k.Authority, err = k.open(names...); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *kit) open(names ...string) (*ca.Authority, error) {
	return ca.Open(context.Background(), ca.Config{Dir: k.dir, Box: k.box, Names: names, Now: func() time.Time { return k.now }})
}

func (k *kit) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(k.Root())
	return pool
}

// verify is what a client does with a leaf.
func (k *kit) verify(name string, cert *tls.Certificate) error {
	between := x509.NewCertPool()
	for _, der := range cert.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		between.AddCert(c)
	}
	_, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: k.roots(), Intermediates: between, CurrentTime: k.now})
	return err
}

func TestLeaves(t *testing.T) {
	k := newKit(t, "agents.example.com", "192.0.2.7", "2001:db8::7")
	for _, name := range []string{
		"bedrock-agentcore.us-east-1.amazonaws.com", "my.dotted.bucket.s3.us-east-1.amazonaws.com", "sts.cn-north-1.amazonaws.com.cn", "agent-registry.us-east-1.api.aws",
		"login.auth.us-east-1.amazoncognito.com", "localhost", "bucket.localhost", "127.0.0.1", "127.1.2.3", "::1", "agents.example.com", "x.agents.example.com",
		"192.0.2.7", "2001:db8::7", "A.amazonaws.com", "under_score.s3.amazonaws.com",
	} {
		cert, err := k.Leaf(name)
		if err != nil {
			t.Errorf("Leaf(%q): %v", name, err)
			continue
		}
		if err := k.verify(name, cert); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		l := cert.Leaf
		if life := l.NotAfter.Sub(l.NotBefore); life > 8*24*time.Hour || l.SerialNumber.Sign() <= 0 || l.SerialNumber.BitLen() < 64 || l.IsCA || l.Subject.CommonName != "" {
			t.Errorf("%s: life %v, serial %v, CA %v, subject %v", name, life, l.SerialNumber, l.IsCA, l.Subject)
		}
		if len(l.DNSNames)+len(l.IPAddresses) != 1 {
			t.Errorf("%s is also good for %v %v", name, l.DNSNames, l.IPAddresses)
		}
	}
	var scope *ca.ScopeError
	for _, name := range []string{
		"", "example.com", "evilamazonaws.com", "amazonaws.com.evil.example", "localhost.evil.example", "192.0.2.8", "8.8.8.8", "::2", "*.amazonaws.com", "a b.amazonaws.com",
		"sts.amazonaws.com\x00.evil.example", "agents.example.com/x", "::1%lo", "www.google.com",
	} {
		if cert, err := k.Leaf(name); !errors.As(err, &scope) {
			t.Errorf("Leaf(%q) = %v, %v", name, cert, err)
		}
	}
}

func TestLeafIsKeptAndRenewed(t *testing.T) {
	k := newKit(t)
	leaf := func() *tls.Certificate {
		t.Helper()
		c, err := k.Leaf("sts.amazonaws.com")
		if err != nil {
			t.Fatal(err)
		}
		if err := k.verify("sts.amazonaws.com", c); err != nil {
			t.Error(err)
		}
		return c
	}
	first := leaf()
	if again, _ := k.Leaf("STS.amazonaws.com."); again != first {
		t.Error("another certificate for the same name")
	}
	k.now = k.now.Add(4 * 24 * time.Hour)
	if leaf() != first {
		t.Error("renewed after four days")
	}
	k.now = k.now.Add(36 * time.Hour)
	second := leaf()
	if second == first || second.Leaf.SerialNumber.Cmp(first.Leaf.SerialNumber) == 0 {
		t.Error("not renewed")
	}
	k.now = k.now.Add(-30 * 24 * time.Hour) // somebody set the clock back
	if third, err := k.Leaf("sts.amazonaws.com"); err != nil || third == second {
		t.Errorf("a leaf of the future is shown: %v", err)
	}
}

// TestCacheIsBounded: whoever can connect can ask for as many names as they like.
func TestCacheIsBounded(t *testing.T) {
	k := newKit(t)
	kept, err := k.Leaf("kept.amazonaws.com")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2000 {
		if _, err := k.Leaf("n" + strconv.Itoa(i) + ".amazonaws.com"); err != nil {
			t.Fatal(err)
		}
		if again, _ := k.Leaf("kept.amazonaws.com"); again != kept {
			t.Fatal("a name in use was forgotten")
		}
	}
	if n := k.Cached(); n > 512 {
		t.Errorf("%d leaves are kept", n)
	}
}

func TestAuthorityIsKept(t *testing.T) {
	k := newKit(t, "agents.example.com")
	again, err := k.open("agents.example.com")
	if err != nil || !slices.Equal(again.Root(), k.Root()) {
		t.Fatalf("opened again it is another: %v", err)
	}
	for _, name := range []string{ca.RootName, "authority.json"} {
		info, err := os.Stat(filepath.Join(k.dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if pub, err := os.ReadFile(filepath.Join(k.dir, ca.RootName)); err != nil || !slices.Equal(pub, k.Root()) {
		t.Errorf("published %q, %v", pub, err)
	}
	var scope *ca.ScopeError
	if _, err := k.open("other.example.com"); !errors.As(err, &scope) || scope.Name != "other.example.com" {
		t.Errorf("a name out of scope: %v", err)
	}
	if _, err := k.open("not a name"); err == nil || errors.As(err, &scope) {
		t.Errorf("what is no name: %v", err)
	}
	k.now = k.now.Add(11 * 365 * 24 * time.Hour)
	if _, err := k.open(); !errors.Is(err, ca.ErrExpired) {
		t.Errorf("expired: %v", err)
	}
}

func TestDamagedAuthority(t *testing.T) {
	k := newKit(t)
	path := filepath.Join(k.dir, "authority.json")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := newKit(t)
	for name, change := range map[string]func(map[string]any){
		"version":      func(m map[string]any) { m["version"] = 2 },
		"root":         func(m map[string]any) { m["root"] = "AAAA" },
		"intermediate": func(m map[string]any) { m["intermediate"] = m["root"] }, // the key is sealed for another
		"key":          func(m map[string]any) { m["sealedKey"] = "AQ==" },
	} {
		var m map[string]any
		if err := json.Unmarshal(good, &m); err != nil {
			t.Fatal(err)
		}
		change(m)
		bad, err := json.Marshal(m)
		if err == nil {
			err = os.WriteFile(path, bad, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.open(); err == nil {
			t.Errorf("%s: it opens", name)
		}
	}
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	k.box = other.box
	if _, err := k.open(); !errors.Is(err, secret.ErrUnreadable) {
		t.Errorf("with another key file: %v", err)
	}
}

// TestNoKeyInTheClear: nothing in the directory parses as a private key.
func TestNoKeyInTheClear(t *testing.T) {
	k := newKit(t)
	files, err := os.ReadDir(k.dir)
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v", files, err)
	}
	raw, err := os.ReadFile(filepath.Join(k.dir, "authority.json"))
	if err != nil {
		t.Fatal(err)
	}
	if s := string(raw); strings.Contains(s, "PRIVATE KEY") {
		t.Error("a key in PEM")
	}
	var s map[string]json.RawMessage
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	for name, v := range s {
		var der []byte
		if json.Unmarshal(v, &der) != nil {
			continue
		}
		if _, err := x509.ParsePKCS8PrivateKey(der); err == nil {
			t.Errorf("%s is a private key", name)
		}
	}
}

// leaked opens the sealed key as somebody would who has stolen the data directory.
func (k *kit) leaked(t *testing.T) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(k.dir, "authority.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s struct{ Intermediate, SealedKey []byte }
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(s.Intermediate)
	der, err := k.box.Open(t.Context(), secret.Owner{Scope: "local", Kind: "ca key", ID: hex.EncodeToString(sum[:])}, s.SealedKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(der.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(s.Intermediate)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key.(crypto.Signer)
}

// forge signs for a name out of scope with the leaked key.
func (k *kit) forge(t *testing.T, name string) *tls.Certificate {
	t.Helper()
	issuer, signer := k.leaked(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{NotBefore: k.now.Add(-time.Hour), NotAfter: k.now.Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature}
	if ip := net.ParseIP(name); ip != nil {
		tpl.IPAddresses = []net.IP{ip}
	} else {
		tpl.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, issuer, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	l, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, issuer.Raw}, PrivateKey: key, Leaf: l}
}

func TestLeakedKeyIsWorthLittle(t *testing.T) {
	k := newKit(t, "agents.example.com")
	for _, name := range []string{"www.google.com", "example.com", "evilamazonaws.com", "8.8.8.8", "192.168.1.1"} {
		var invalid x509.CertificateInvalidError
		if err := k.verify(name, k.forge(t, name)); !errors.As(err, &invalid) || invalid.Reason != x509.CANotAuthorizedForThisName {
			t.Errorf("%s: %v", name, err)
		}
	}
	issuer, _ := k.leaked(t)
	if issuer.MaxPathLen != 0 || !issuer.MaxPathLenZero {
		t.Error("it can sign further authorities")
	}
}

func writePair(t *testing.T, dir string, cert *tls.Certificate) (certFile, keyFile string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	var chain []byte
	for _, c := range cert.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c})...)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "cert.key")
	for name, body := range map[string][]byte{certFile: chain, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})} {
		if err := os.WriteFile(name, body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func TestPairIsReadAgain(t *testing.T) {
	k, dir := newKit(t, "one.example.com"), t.TempDir()
	one := k.forge(t, "one.example.com")
	certFile, keyFile := writePair(t, dir, one)
	now := time.Now()
	p, err := ca.OpenPair(certFile, keyFile, func() time.Time { return now }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	shown := func() string { return p.Certificate().Leaf.DNSNames[0] }
	later := func(d time.Duration) { // the files' times are in whole ticks of the kernel's clock
		now = now.Add(d)
		for _, name := range []string{certFile, keyFile} {
			_ = os.Chtimes(name, now, now)
		}
	}
	if err := os.WriteFile(certFile, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if later(2 * time.Second); shown() != "one.example.com" {
		t.Error("a broken file replaced the certificate")
	}
	writePair(t, dir, k.forge(t, "two.one.example.com"))
	if shown() != "one.example.com" {
		t.Error("looked at the files again within a second")
	}
	if later(2 * time.Second); shown() != "two.one.example.com" {
		t.Error("the new certificate is not shown")
	}
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	if now = now.Add(2 * time.Second); shown() != "two.one.example.com" {
		t.Error("a file that is gone took the certificate along")
	}
	if _, err := ca.OpenPair(certFile, keyFile, time.Now, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a pair without a certificate was opened")
	}
}
