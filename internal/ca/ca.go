// Package ca is the server's private certificate authority. Clients that trust it
// take this server for AWS's names, and for the operator's own.
//
// It is made so that its key, if it leaks, is worth little. The certificate that
// clients trust, the root, has signed one intermediate and its key was thrown
// away at once. The intermediate's key is what is kept, sealed; it can sign for
// the names and addresses in the authority's scope alone, and every client holds
// an intermediate to that (RFC 5280 4.2.1.10), while a root is not always held to
// what it says of itself. So the scope of an authority never changes: another
// scope takes another authority.
package ca

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/awshost"
	"github.com/outcrop/outcrop/internal/durable"
	"github.com/outcrop/outcrop/internal/secret"
)

// The files in an authority's directory.
const (
	// RootName is the certificate that clients trust, in PEM.
	RootName = "ca.pem"
	// stateName is all there is to know, in one file so that it is there whole or
	// not at all.
	stateName = "authority.json"
)

// life is how long an authority lasts; its key cannot be had again to renew it.
const life = 10 * 365 * 24 * time.Hour

// Config is what an Authority is opened with. All members are required but Names.
type Config struct {
	// Dir is made when it is missing, mode 0700.
	Dir string
	Box *secret.Box
	// Names are the operator's own: host names and IP addresses. They must be in
	// the scope of an authority that is there, and go into that of a new one.
	Names []string
	Now   func() time.Time
}

// Authority signs certificates of servers. It is safe for concurrent use.
type Authority struct {
	now          func() time.Time
	root         *x509.Certificate
	intermediate *x509.Certificate
	signer       *ecdsa.PrivateKey
	// leafKey is that of all leaves. It lives as long as the process.
	leafKey *ecdsa.PrivateKey

	mu     sync.Mutex
	leaves map[string]*leaf
	minted uint64 // counts uses, for the oldest
}

// state is the content of stateName.
type state struct {
	Version      int      `json:"version"`
	Root         []byte   `json:"root"`         // DER
	Intermediate []byte   `json:"intermediate"` // DER
	SealedKey    []byte   `json:"sealedKey"`    // of the intermediate, PKCS #8
	Names        []string `json:"names"`        // the operator's own
}

// ScopeError says that an authority may not sign for a name.
type ScopeError struct {
	// Name is the name that was asked for.
	Name string
}

func (e *ScopeError) Error() string {
	return fmt.Sprintf("the private CA may not sign for %s", e.Name)
}

// ErrExpired says that an authority has come to its end.
var ErrExpired = errors.New("the private CA has expired")

// Open opens the authority in cfg.Dir, or makes one. Where one is there that may
// not sign for one of cfg.Names the error is a *ScopeError; where it is of no use
// any more, ErrExpired. One whose key does not open is secret.ErrUnreadable.
func Open(ctx context.Context, cfg Config) (*Authority, error) {
	names, addrs, err := split(cfg.Names)
	if err != nil {
		return nil, fmt.Errorf("open CA: %w", err)
	}
	path := filepath.Join(cfg.Dir, stateName)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if raw, err = create(ctx, cfg, names, addrs); err == nil {
			err = save(cfg.Dir, stateName, raw)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("make CA in %s: %w", cfg.Dir, err)
	}
	a, err := load(ctx, cfg, raw)
	if err != nil {
		return nil, fmt.Errorf("open CA %s: %w", path, err)
	}
	if err := a.publish(cfg.Dir); err != nil {
		return nil, fmt.Errorf("write certificate of CA: %w", err)
	}
	for _, name := range cfg.Names {
		if err := a.covers(name); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// split tells names from addresses.
func split(own []string) (names []string, addrs []netip.Addr, err error) {
	for _, n := range own {
		if a, err := netip.ParseAddr(n); err == nil && a.Zone() == "" {
			addrs = append(addrs, a.Unmap())
			continue
		}
		clean, ok := awshost.Clean(n)
		if !ok {
			return nil, nil, fmt.Errorf("%q is neither a host name nor an IP address", n)
		}
		names = append(names, clean)
	}
	return names, addrs, nil
}

// create makes a new authority's state.
func create(ctx context.Context, cfg Config, names []string, addrs []netip.Addr) ([]byte, error) {
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	root := template(cfg.Now(), "Outcrop private CA", 1)
	inter := template(cfg.Now(), "Outcrop private CA, servers", 0)
	// A host name is what it is called, and what stands below it: the generic
	// form of a constraint has no other (RFC 5280 4.2.1.10).
	inter.PermittedDNSDomainsCritical = true
	inter.PermittedDNSDomains = slices.Concat(awshost.Suffixes(), []string{"localhost"}, names)
	// Without one of these any address could be signed for.
	inter.PermittedIPRanges = []*net.IPNet{ipNet(netip.MustParsePrefix("127.0.0.0/8")), ipNet(netip.MustParsePrefix("::1/128"))}
	for _, a := range addrs {
		inter.PermittedIPRanges = append(inter.PermittedIPRanges, ipNet(netip.PrefixFrom(a, a.BitLen())))
	}
	s := state{Version: 1, Names: slices.Clone(cfg.Names)}
	if s.Root, err = x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey); err != nil {
		return nil, err
	}
	signed, err := x509.ParseCertificate(s.Root)
	if err != nil {
		return nil, err
	}
	if s.Intermediate, err = x509.CreateCertificate(rand.Reader, inter, signed, key.Public(), rootKey); err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	if s.SealedKey, err = cfg.Box.Seal(ctx, owner(s.Intermediate), secret.NewBytes(der)); err != nil {
		return nil, err
	}
	return json.MarshalIndent(s, "", "  ")
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// template is what root and intermediate share.
func template(now time.Time, name string, below int) *x509.Certificate {
	return &x509.Certificate{
		Subject:   pkix.Name{Organization: []string{"Outcrop"}, CommonName: name + " of " + now.UTC().Format("2006-01-02 15:04:05")},
		NotBefore: now.Add(-skew), NotAfter: now.Add(life),
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: below, MaxPathLenZero: below == 0,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		// It vouches for servers, and neither for mail nor for programs.
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}

// owner binds the sealed key to its certificate.
func owner(intermediate []byte) secret.Owner {
	sum := sha256.Sum256(intermediate)
	return secret.Owner{Scope: "local", Kind: "ca key", ID: hex.EncodeToString(sum[:])}
}

// load reads a state.
func load(ctx context.Context, cfg Config, raw []byte) (*Authority, error) {
	a := &Authority{now: cfg.Now, leaves: map[string]*leaf{}}
	s, err := a.certificates(raw)
	if err != nil {
		return nil, err
	}
	if now := cfg.Now(); now.After(a.intermediate.NotAfter) {
		return nil, ErrExpired
	}
	der, err := cfg.Box.Open(ctx, owner(s.Intermediate), s.SealedKey)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der.Reveal())
	if err != nil {
		return nil, err
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok || !signer.PublicKey.Equal(a.intermediate.PublicKey) {
		return nil, errors.New("its key is not that of its certificate")
	}
	a.signer = signer
	a.leafKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return a, err
}

// certificates reads a state but for its key.
func (a *Authority) certificates(raw []byte) (s state, err error) {
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, err
	}
	if s.Version != 1 {
		return s, fmt.Errorf("it has version %d and this program knows 1", s.Version)
	}
	if a.root, err = x509.ParseCertificate(s.Root); err != nil {
		return s, err
	}
	a.intermediate, err = x509.ParseCertificate(s.Intermediate)
	return s, err
}

// publish writes the certificate where clients look for it.
func (a *Authority) publish(dir string) error {
	want := a.Root()
	if have, err := os.ReadFile(filepath.Join(dir, RootName)); err == nil && slices.Equal(have, want) {
		return nil
	}
	return save(dir, RootName, want)
}

// Root is the certificate that clients trust, in PEM.
func (a *Authority) Root() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})
}

// save writes a file of the authority's.
func save(dir, name string, body []byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return durable.File(filepath.Join(dir, name), body)
}

// Info is what an authority says of itself.
type Info struct {
	// Root is the certificate that clients trust.
	Root *x509.Certificate
	// Names and Ranges are all that it may sign for: a name means those below it
	// too.
	Names  []string
	Ranges []*net.IPNet
}

// Read reads about the authority in dir without its key. Where there is none the
// error is fs.ErrNotExist.
func Read(dir string) (Info, error) {
	raw, err := os.ReadFile(filepath.Join(dir, stateName))
	if err != nil {
		return Info{}, fmt.Errorf("read CA: %w", err)
	}
	a := &Authority{}
	if _, err := a.certificates(raw); err != nil {
		return Info{}, fmt.Errorf("read CA in %s: %w", dir, err)
	}
	return Info{Root: a.root, Names: a.intermediate.PermittedDNSDomains, Ranges: a.intermediate.PermittedIPRanges}, nil
}

// Remove removes the authority in dir, so that Open makes another.
func Remove(dir string) error {
	for _, name := range []string{stateName, RootName} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove CA: %w", err)
		}
	}
	return durable.Dir(dir)
}
