package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// TokenLife is how long an idempotency token is remembered.
const TokenLife = 24 * time.Hour

// Token makes a call idempotent (the clientToken member of most mutations).
type Token struct {
	Scope     Scope
	Operation string
	// Key is the token the caller sent. Where tokens belong to a resource (the
	// events of one memory) its id is part of Key.
	Key string
	// RequestHash tells one request from another; the token itself, times and
	// request ids are not part of it.
	RequestHash string
}

// SavedReply is the remembered reply of a token.
type SavedReply struct {
	RequestHash string
	Body        json.RawMessage
	Expires     time.Time
}

// ReplyReader reads saved replies.
type ReplyReader interface {
	// Reply returns the reply of t's scope, operation and key that has not
	// expired, whatever its hash, or ErrNotFound.
	Reply(t Token) (SavedReply, error)
}

// ReplyWriter saves replies.
type ReplyWriter interface {
	// SaveReply remembers body for life, in place of an expired one, and
	// forgets some others that have expired.
	SaveReply(t Token, body json.RawMessage, life time.Duration) error
}

// Check validates the arguments of SaveReply.
func (t Token) Check(body json.RawMessage) error {
	if !t.Scope.Valid() || t.Operation == "" || t.Key == "" || !jsontext.Value(body).IsValid() {
		return fmt.Errorf("check reply of %q: %w", t.Operation, ErrInvalid)
	}
	return CheckText(t.Key)
}

type tokenKey struct{}

// WithToken makes the calls of Reply below ctx idempotent.
func WithToken(ctx context.Context, t Token) context.Context {
	return context.WithValue(ctx, tokenKey{}, t)
}

// TokenFrom returns the token of WithToken.
func TokenFrom(ctx context.Context) (Token, bool) {
	t, ok := ctx.Value(tokenKey{}).(Token)
	return t, ok && t.Key != ""
}

// Replay looks for the reply of ctx's token before anything else is done. It
// returns false when there is no token or no reply yet, and ErrTokenMismatch
// when the token came with another request.
func Replay(ctx context.Context, s Store) (json.RawMessage, bool, error) {
	t, ok := TokenFrom(ctx)
	if !ok {
		return nil, false, nil
	}
	var body json.RawMessage
	err := s.View(ctx, func(r Reader) (err error) {
		body, err = replay(r, t)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return body, body != nil, nil
}

// replay returns nil when there is no reply yet.
func replay(r Reader, t Token) (json.RawMessage, error) {
	saved, err := r.Reply(t)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case saved.RequestHash != t.RequestHash:
		return nil, fmt.Errorf("replay %s: %w", t.Operation, ErrTokenMismatch)
	}
	return saved.Body, nil
}

// Reply runs fn in a write transaction. When ctx carries a token, the JSON of
// the reply is saved in the same transaction; the same token with the same
// request then gets that reply and fn does not run, and with another request
// ErrTokenMismatch. Errors are not remembered.
//
// T must survive a round trip through JSON and hold no secret: the saved reply
// is not encrypted.
func Reply[T any](ctx context.Context, s Store, fn func(Tx) (T, error)) (T, error) {
	var reply T
	token, idempotent := TokenFrom(ctx)
	err := s.Update(ctx, func(tx Tx) error {
		var fresh T
		reply = fresh
		if idempotent {
			body, err := replay(tx, token)
			if err != nil {
				return err
			}
			if body != nil {
				return decodeReply(token, body, &reply)
			}
		}
		var err error
		if reply, err = fn(tx); err != nil || !idempotent {
			return err
		}
		body, err := json.Marshal(reply)
		if err != nil {
			return fmt.Errorf("encode reply of %s: %w", token.Operation, err)
		}
		return tx.SaveReply(token, body, TokenLife)
	})
	if err != nil {
		var none T
		return none, err
	}
	return reply, nil
}

func decodeReply(t Token, body json.RawMessage, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("decode saved reply of %s: %w", t.Operation, err)
	}
	return nil
}
