package issuer

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret"
)

// PasswordPolicy is what a pool asks of passwords.
type PasswordPolicy struct {
	// MinLength is in characters; zero is Cognito's 8.
	MinLength int  `json:"minLength,omitempty"`
	Upper     bool `json:"upper,omitempty"`
	Lower     bool `json:"lower,omitempty"`
	Number    bool `json:"number,omitempty"`
	Symbol    bool `json:"symbol,omitempty"`
	// TemporaryDays is how long a password that an administrator gave is good; zero
	// is 7.
	TemporaryDays int `json:"temporaryDays,omitempty"`
}

// The bounds of passwords (cognito-idp's model and developer guide).
const (
	leastLength       = 6
	defaultMinLength  = 8
	mostLength        = 256
	defaultTemporary  = 7
	temporarySize     = 16
	symbolsOfPassword = "^$*.[]{}()?\"!@#%&/\\,><':;|_~`=+- "
)

func (p PasswordPolicy) minLength() int {
	if p.MinLength == 0 {
		return defaultMinLength
	}
	return p.MinLength
}

func (p PasswordPolicy) check() error {
	if n := p.minLength(); n < leastLength || n > 99 {
		return Invalid("The minimum length of passwords must be from %d to 99", leastLength)
	}
	return nil
}

// Accept refuses a password that the policy does not allow. Cognito tells the first
// reason, and here all follow.
func (p PasswordPolicy) Accept(password secret.String) error {
	text := password.Reveal()
	lacks := func(asked bool, characters string) bool { return asked && !strings.ContainsAny(text, characters) }
	var why []string
	for _, rule := range []struct {
		broken bool
		text   string
	}{
		{utf8.RuneCountInString(text) < p.minLength(), "Password not long enough"},
		{len(text) > mostLength, "Password must have no more than 256 characters"},
		{lacks(p.Lower, mixed[26:52]), "Password must have lowercase characters"},
		{lacks(p.Upper, mixed[:26]), "Password must have uppercase characters"},
		{lacks(p.Number, mixed[52:]), "Password must have numeric characters"},
		{lacks(p.Symbol, symbolsOfPassword), "Password must have symbol characters"},
		{strings.HasPrefix(text, " ") || strings.HasSuffix(text, " "), "Password must not begin or end with a space"},
	} {
		if rule.broken {
			why = append(why, rule.text)
		}
	}
	if why == nil {
		return nil
	}
	return fault.BadRequest(CodeInvalidPassword, "Password did not conform with policy: %s", strings.Join(why, "; "))
}

// temporary makes a password that the policy allows.
func (p PasswordPolicy) temporary(rand io.Reader) (secret.String, error) {
	text, err := letters(rand, mixed, max(temporarySize, p.minLength()))
	if err != nil {
		return secret.String{}, err
	}
	// One of each kind, whatever chance gave.
	return secret.NewString("aA1!" + text), nil
}

// The cost of a hash: OWASP's second setting for argon2id (19 MiB, two passes), some
// 25 ms of a core.
const (
	argonTime    = 2
	argonMemory  = 19 << 10 // KiB
	argonThreads = 1
	saltSize     = 16
	hashSize     = 32
	// maxHashing bounds how many are computed at once, hence the memory.
	maxHashing = 2
	// maxWaiting bounds who waits for that: strangers may sign in as often as they like.
	maxWaiting = 64
)

// hashPrefix is how the stored form begins, in the notation of PHC.
var hashPrefix = fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$", argon2.Version, argonMemory, argonTime, argonThreads)

// turn waits for a place among those who hash. Where too many wait it is a refusal.
func (p *Pools) turn(ctx context.Context) (done func(), err error) {
	defer p.waiting.Add(-1)
	if p.waiting.Add(1) > maxWaiting {
		return nil, fault.BadRequest(CodeTooManyRequests, "Too many requests")
	}
	select {
	case p.hashing <- struct{}{}:
		return func() { <-p.hashing }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// hash returns the stored form of a password.
func (p *Pools) hash(ctx context.Context, password secret.String) (string, error) {
	salt := make([]byte, saltSize)
	if _, err := io.ReadFull(p.cfg.Rand, salt); err != nil {
		return "", fmt.Errorf("make salt: %w", err)
	}
	done, err := p.turn(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	return hashPrefix + encoded(salt) + "$" + encoded(derive(password, salt)), nil
}

func derive(password secret.String, salt []byte) []byte {
	return argon2.IDKey(password.Bytes().Reveal(), salt, argonTime, argonMemory, argonThreads, hashSize)
}

func encoded(b []byte) string { return base64.RawStdEncoding.EncodeToString(b) }

// matches reports whether a password is the stored one. A user who is not there has
// none stored: it takes as long, and is false.
func (p *Pools) matches(ctx context.Context, stored string, password secret.String) (bool, error) {
	salt, want := make([]byte, saltSize), make([]byte, hashSize)
	rest, known := strings.CutPrefix(stored, hashPrefix)
	if known {
		s, h, _ := strings.Cut(rest, "$")
		var err error
		if salt, err = base64.RawStdEncoding.DecodeString(s); err != nil {
			return false, fmt.Errorf("read password hash: %w", err)
		}
		if want, err = base64.RawStdEncoding.DecodeString(h); err != nil {
			return false, fmt.Errorf("read password hash: %w", err)
		}
	}
	if len(password.Reveal()) > mostLength {
		password = secret.String{}
	}
	done, err := p.turn(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	return subtle.ConstantTimeCompare(derive(password, salt), want) == 1 && known, nil
}
