package oauth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/secret"
)

// Assertion is what a client proves itself with by a private key that it does not
// hold (RFC 7523 2.2).
type Assertion struct {
	ClientID  string
	Algorithm string // RS256, PS256 or ES256
	// Header and Payload are added; Reserved says what they may not name.
	Header, Payload map[string]string
	ID              string // jti
	Now             time.Time
	// Sign signs what stands before the second dot, as JSON Web Signatures want it.
	Sign func(ctx context.Context, input []byte) ([]byte, error)
}

// assertionLife is how long an assertion is good.
const assertionLife = 5 * time.Minute

// ReservedHeader and ReservedPayload are the names that are ours in an assertion.
func ReservedHeader(name string) bool {
	return slices.Contains([]string{"alg", "typ", "b64", "crit", "enc", "zip", "jwk", "jku", "x5u", "x5c"}, name)
}

// ReservedPayload tells whether a name in the payload is ours.
func ReservedPayload(name string) bool {
	return slices.Contains([]string{"iss", "sub", "aud", "jti", "exp", "iat", "nbf"}, name)
}

// Make makes the assertion for an audience.
func (a Assertion) Make(ctx context.Context, audience string) (secret.String, error) {
	header, payload := map[string]any{}, map[string]any{}
	for name, value := range a.Header {
		header[name] = value
	}
	for name, value := range a.Payload {
		payload[name] = value
	}
	header["alg"], header["typ"] = a.Algorithm, "JWT"
	payload["iss"], payload["sub"], payload["aud"], payload["jti"] = a.ClientID, a.ClientID, audience, a.ID
	payload["iat"], payload["exp"] = a.Now.Unix(), a.Now.Add(assertionLife).Unix()
	var parts [2]string
	for i, part := range []map[string]any{header, payload} {
		b, err := json.Marshal(part)
		if err != nil {
			return secret.String{}, err
		}
		parts[i] = base64.RawURLEncoding.EncodeToString(b)
	}
	signed := parts[0] + "." + parts[1]
	signature, err := a.Sign(ctx, []byte(signed))
	if err != nil {
		return secret.String{}, fmt.Errorf("sign client assertion: %w", err)
	}
	return secret.NewString(signed + "." + base64.RawURLEncoding.EncodeToString(signature)), nil
}
