package workload

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// TokenLife is the longest a token is good. One made from a user's own token ends
// with that one.
const TokenLife = time.Hour

// MaxToken bounds a token, in characters (spec/identity.md 4.1).
const MaxToken = 131072

// ErrToken says that a token is none of ours; ErrExpired, that it is over.
var (
	ErrToken   = errors.New("the workload access token is not valid")
	ErrExpired = errors.New("the workload access token has expired")
)

// UserKind tells how a user was proven.
type UserKind string

// The kinds of users. Equal names of two kinds are two users.
const (
	Nobody UserKind = ""
	ByJWT  UserKind = "jwt" // by a verified token of an issuer
	ByID   UserKind = "id"  // by the caller, who vouches for the name
)

// User is whom an agent works for.
type User struct {
	Kind UserKind
	// Issuer is set for ByJWT alone. Name is the subject there, and else what the
	// caller said.
	Issuer, Name string
}

// Key names the user so that no two have the same.
func (u User) Key() string {
	return string(u.Kind) + ":" + strconv.Itoa(len(u.Issuer)) + ":" + u.Issuer + u.Name
}

// Claims are what a token says.
type Claims struct {
	Scope    store.Scope
	Workload string
	// Host is the ARN of the runtime or gateway whose identity it is, or empty.
	Host string
	User User
	// JWT is the user's own token, which others can be exchanged for.
	JWT secret.String
	// ID tells tokens apart.
	ID              string
	Issued, Expires time.Time
}

// Tokens makes workload access tokens and reads them. A token is the sealed record
// of its claims: nothing is stored, any process with the same key file reads it, and
// nobody else can, which matters because it may hold the user's own token.
type Tokens struct {
	Box *secret.Box
	Now func() time.Time
}

// sealed is what a token holds; short names, because it travels as a header.
type sealed struct {
	Version  int      `json:"v"`
	Account  string   `json:"a"`
	Region   string   `json:"r"`
	Workload string   `json:"w"`
	Host     string   `json:"h,omitempty"`
	Kind     UserKind `json:"k,omitempty"`
	Issuer   string   `json:"i,omitempty"`
	Name     string   `json:"n,omitempty"`
	JWT      string   `json:"j,omitempty"`
	ID       string   `json:"t"`
	Issued   int64    `json:"b"` // seconds
	Expires  int64    `json:"e"`
}

const tokenVersion = 1

// tokenOwner binds tokens to their purpose; account and region are inside.
var tokenOwner = secret.Owner{Scope: store.Global, Kind: "workload-access-token", ID: "1"}

// Make makes a token for c.Workload. It sets the id and the times; an Expires that
// was set is not gone beyond.
func (t Tokens) Make(ctx context.Context, c Claims) (secret.String, error) {
	now := t.Now()
	expires := now.Add(TokenLife)
	if !c.Expires.IsZero() && c.Expires.Before(expires) {
		expires = c.Expires
	}
	plain, err := json.Marshal(sealed{
		Version: tokenVersion, Account: c.Scope.Account, Region: c.Scope.Region, Workload: c.Workload, Host: c.Host,
		Kind: c.User.Kind, Issuer: c.User.Issuer, Name: c.User.Name, JWT: c.JWT.Reveal(),
		ID: uuid.NewString(), Issued: now.Unix(), Expires: expires.Unix(),
	})
	if err != nil {
		return secret.String{}, err
	}
	b, err := t.Box.Seal(ctx, tokenOwner, secret.NewBytes(plain))
	if err != nil {
		return secret.String{}, fmt.Errorf("make workload access token of %s: %w", c.Workload, err)
	}
	return secret.NewString(base64.RawURLEncoding.EncodeToString(b)), nil
}

// Open reads a token. Errors: ErrToken, ErrExpired, or that of the key's keeper.
func (t Tokens) Open(ctx context.Context, token string) (Claims, error) {
	if len(token) > MaxToken {
		return Claims{}, ErrToken
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil {
		return Claims{}, ErrToken
	}
	plain, err := t.Box.Open(ctx, tokenOwner, b)
	switch {
	case errors.Is(err, secret.ErrUnreadable):
		return Claims{}, fmt.Errorf("%w: %w", ErrToken, err)
	case err != nil:
		return Claims{}, err
	}
	var s sealed
	if err := json.Unmarshal(plain.Reveal(), &s); err != nil || s.Version != tokenVersion {
		return Claims{}, ErrToken // of a newer program
	}
	if t.Now().Unix() >= s.Expires {
		return Claims{}, ErrExpired
	}
	return Claims{
		Scope: store.Scope{Account: s.Account, Region: s.Region}, Workload: s.Workload, Host: s.Host,
		User: User{Kind: s.Kind, Issuer: s.Issuer, Name: s.Name}, JWT: secret.NewString(s.JWT),
		ID: s.ID, Issued: time.Unix(s.Issued, 0).UTC(), Expires: time.Unix(s.Expires, 0).UTC(),
	}, nil
}
