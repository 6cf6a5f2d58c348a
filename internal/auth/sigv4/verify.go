package sigv4

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
)

// Config is what a Verifier needs. Keys is required.
type Config struct {
	Keys KeySource
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// SpoolDir is where bodies over 1 MiB wait, encrypted, while their hash is
	// computed; empty is os.TempDir. On a memory-backed file system they cost memory.
	SpoolDir string
	// MaxBody bounds decoded bodies in bytes where Expect does not; zero is 100 MiB.
	MaxBody int64
	// KeyCache is how many signing keys are kept; zero is 1024.
	KeyCache int
	// Unproven bounds what is kept of bodies before their signature is proven;
	// the zero value is DefaultUnproven.
	Unproven Unproven
}

// Verifier verifies requests. It is safe for concurrent use.
type Verifier struct {
	cfg      Config
	cache    *keyCache
	unproven *ledger
	pool     sync.Pool // of *scratch
}

// New returns a Verifier.
func New(cfg Config) *Verifier {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.SpoolDir == "" {
		cfg.SpoolDir = os.TempDir()
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = 100 << 20
	}
	if cfg.KeyCache == 0 {
		cfg.KeyCache = 1024
	}
	if cfg.Unproven == (Unproven{}) {
		cfg.Unproven = DefaultUnproven()
	}
	return &Verifier{
		cfg:      cfg,
		cache:    newKeyCache(cfg.KeyCache),
		unproven: newLedger(cfg.Unproven),
		pool:     sync.Pool{New: func() any { return &scratch{buf: make([]byte, 0, 2048)} }},
	}
}

// Identity is who signed a request, proven.
type Identity struct {
	Principal auth.Principal
	Claim     Claim

	body pending
}

// Signed reports whether the header, in lower case, was under the signature.
// Somebody between the client and us can add any header that was not.
func (c *Claim) Signed(header string) bool {
	_, ok := slices.BinarySearch(c.SignedHeaders, header)
	return ok
}

// Verify proves the claim that Parse read from r. It reads the body only when a
// service other than S3 did not declare its hash. The error is a *fault.Error in
// the family's words. The Identity must be closed when the call is over.
func (v *Verifier) Verify(ctx context.Context, r *http.Request, c Claim, want Expect) (*Identity, error) {
	if want.Family == ByService {
		want.Family = FamilyOf(cmp.Or(want.Service, c.Service))
	}
	if want.MaxBody == 0 {
		want.MaxBody = v.cfg.MaxBody
	}
	id, err := v.verify(ctx, r, &c, want)
	if err != nil {
		var e *Error
		if errors.As(err, &e) {
			e.presigned = c.Presigned
		}
		return nil, want.Family.Fault(err)
	}
	return id, nil
}

func (v *Verifier) verify(ctx context.Context, r *http.Request, c *Claim, want Expect) (*Identity, error) {
	rules := want.Family.rules()
	now := v.cfg.Now().UTC()
	if err := c.checkScope(want); err != nil {
		return nil, err
	}
	if err := c.checkTime(now, rules.skew, want.MaxExpires); err != nil {
		return nil, err
	}
	if err := c.checkSigned(r.Header); err != nil {
		return nil, err
	}
	form, err := c.contentForm(rules)
	if err != nil {
		return nil, err
	}
	key, err := v.key(ctx, c)
	if err != nil {
		return nil, err
	}
	id := &Identity{
		Principal: key.Principal,
		Claim:     *c,
		body:      pending{r: r, form: form, hash: c.ContentHash, family: want.Family, max: want.MaxBody, dir: v.cfg.SpoolDir},
	}
	hash := c.ContentHash
	switch form {
	case formAbsent:
		// What the client signed is known only when the body has been read.
		held := v.unproven.hold(c.AccessKeyID)
		defer held.release()
		if hash, err = id.body.readWhole(held); err != nil {
			return nil, errors.Join(err, id.Close())
		}
	case formUnsigned:
		hash = unsignedPayload
	}
	if err := v.compare(id, key.Secret, rules.rawPath, hash); err != nil {
		return nil, errors.Join(err, id.Close())
	}
	return id, nil
}

// compare computes the signature and compares it. A WebSocket client may sign the
// bare host name and send it with a port (spec/browser.md 5.1), so that is tried
// second; no other Host is.
func (v *Verifier) compare(id *Identity, secret string, rawPath bool, hash string) error {
	host := id.body.r.Host
	err := v.compareHost(id, secret, host, rawPath, hash)
	if colon := strings.LastIndexByte(host, ':'); err != nil && colon > strings.LastIndexByte(host, ']') {
		return v.compareHost(id, secret, host[:colon], rawPath, hash)
	}
	return err
}

func (v *Verifier) compareHost(id *Identity, secret, host string, rawPath bool, hash string) error {
	c := &id.Claim
	s := v.pool.Get().(*scratch)
	defer v.pool.Put(s)
	if err := s.canonicalRequest(id.body.r, host, c, rawPath, hash); err != nil {
		return err
	}
	sum := sha256.Sum256(s.buf)
	b := append(s.buf[:0], algorithm+"\n"...)
	b = c.Time.AppendFormat(b, timeFormat)
	b = append(b, '\n')
	b = append(b, c.scope()...)
	b = append(b, '\n')
	s.buf = hex.AppendEncode(b, sum[:])

	scope := keyScope{secret: secret, date: c.Date, region: c.Region, service: c.Service}
	key, fresh := v.cache.get(scope)
	signature := mac(key[:], s.buf)
	if !hmac.Equal(signature[:], c.signature) {
		return refuse(Mismatch)
	}
	if !fresh {
		v.cache.put(scope, key)
	}
	if id.body.form >= formSigned {
		id.body.chunks = chunkSigner{key: key, previous: signature, scope: c.scope(), time: c.Time.Format(timeFormat)}
	}
	return nil
}

func (v *Verifier) key(ctx context.Context, c *Claim) (Key, error) {
	key, err := v.cfg.Keys.Key(ctx, c.AccessKeyID, c.Token)
	switch {
	case errors.Is(err, ErrUnknownKey), err == nil && key.Secret == "":
		return Key{}, refuse(UnknownKey).with("AWSAccessKeyId", c.AccessKeyID)
	case errors.Is(err, ErrBadToken):
		return Key{}, refuse(BadToken)
	case errors.Is(err, ErrExpiredToken):
		return Key{}, refuse(ExpiredToken)
	case err != nil:
		return Key{}, fault.Internal(fmt.Errorf("find access key %s: %w", c.AccessKeyID, err))
	}
	return key, nil
}

func (c *Claim) checkScope(want Expect) *Error {
	day := c.Time.Format("20060102")
	switch {
	case c.terminator != terminator:
		return refuse(WrongTerminator, c.terminator)
	case c.Date != day:
		return refuse(WrongDate, c.Date, day, c.Time.Format(timeFormat))
	case want.Service != "" && c.Service != want.Service:
		return refuse(WrongService, c.Service, want.Service)
	case want.Region != "" && c.Region != want.Region:
		return refuse(WrongRegion, c.Region, want.Region).with("Region", want.Region)
	}
	return nil
}

func (c *Claim) checkTime(now time.Time, skew, maxExpires time.Duration) *Error {
	form := func(t time.Time) string { return t.Format(timeFormat) }
	s3 := func(e *Error) *Error {
		return e.with("RequestTime", form(c.Time)).with("ServerTime", now.Format(time.RFC3339)).
			with("MaxAllowedSkewMilliseconds", strconv.FormatInt(skew.Milliseconds(), 10))
	}
	future := c.Time.After(now.Add(skew))
	if !c.Presigned {
		switch {
		case future:
			return s3(refuse(NotYetValid, form(c.Time), form(now.Add(skew)), form(now)))
		case c.Time.Before(now.Add(-skew)):
			return s3(refuse(Expired, form(c.Time), form(now.Add(-skew)), form(now)))
		}
		return nil
	}
	end := c.Time.Add(c.Expires)
	switch {
	case maxExpires > 0 && c.Expires > maxExpires:
		return badLife(maxExpires)
	case future:
		return refuse(PresignedNotYet, form(c.Time), form(now.Add(skew)), form(now))
	case now.After(end):
		return refuse(PresignedExpired, form(end), form(now)).
			with("X-Amz-Expires", strconv.FormatInt(int64(c.Expires/time.Second), 10)).
			with("Expires", end.Format(time.RFC3339)).with("ServerTime", now.Format(time.RFC3339))
	}
	return nil
}

// checkSigned refuses a request whose Host, or whose headers that change what
// the call does, are not under the signature. S3 asks it of every x-amz-*
// header; here every service does, because X-Amz-Target alone chooses the
// operation of a JSON service. Exempt are those whose value is signed in another
// way or changes nothing. AWS leaves it to each service whether a security token
// may be added after signing; every SDK signs it, and here it must be.
func (c *Claim) checkSigned(h http.Header) *Error {
	if !c.Signed("host") {
		return refuse(HostNotSigned).with("HeadersNotSigned", "host")
	}
	for name := range h {
		if !strings.HasPrefix(name, "X-Amz-") {
			continue
		}
		switch name {
		case headerHash, "X-Amz-User-Agent", "X-Amz-Cf-Id":
			continue
		case headerDate:
			if c.Presigned {
				continue // the query's date counts
			}
		}
		if lower := strings.ToLower(name); !c.Signed(lower) {
			return refuse(HeaderNotSigned, name).with("HeadersNotSigned", lower)
		}
	}
	return nil
}
