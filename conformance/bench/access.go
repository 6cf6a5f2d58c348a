package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/outcrop/outcrop/conformance/bench/figures"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/client"
	"github.com/outcrop/outcrop/internal/principal"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

// shareBar bounds what knowing a caller and deciding takes of an invocation.
const shareBar = 0.1

// checks is how often each is done.
const checks = 1000

// accessRow compares what it takes to know a caller, and to decide whether it may,
// with the whole of an invocation of 1 KiB, one at a time.
func accessRow(ctx context.Context, report *figures.Report) error {
	dir, err := os.MkdirTemp("", "outcrop-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	whole, err := invocation(ctx, dir)
	if err != nil {
		return err
	}
	c, err := newCourt(ctx, dir)
	if err != nil {
		return err
	}
	defer c.close()
	a := &figures.Access{Invocation: whole.Nanoseconds()}
	for _, part := range []struct {
		into *int64
		do   func(context.Context, int) error
	}{{&a.Signature, c.signature}, {&a.Token, c.token}, {&a.TokenAgain, c.again}, {&a.Decision, c.decide}} {
		took, err := c.each(ctx, part.do)
		if err != nil {
			return err
		}
		*part.into = took.Nanoseconds()
	}
	report.Access = a
	fmt.Printf("\n%-44s %10s\n", "letting a caller in", "p50")
	for _, row := range []struct {
		name string
		took int64
	}{
		{"SigV4, 1 KiB", a.Signature}, {"JWT (RS256) that comes first", a.Token}, {"JWT that comes again", a.TokenAgain},
		{"decision (5 policies and a boundary)", a.Decision}, {"an invocation, 1 KiB, one at a time", a.Invocation},
	} {
		fmt.Printf("%-44s %7d µs\n", row.name, row.took/1000)
	}
	fmt.Printf("share of an invocation: %.1f %% with SigV4, %.1f %% with a JWT  %s\n", 100*a.Signed(), 100*a.Bearer(), verdict(max(a.Signed(), a.Bearer()) <= shareBar))
	fmt.Printf("bar: at most %.0f %%\n", 100*shareBar)
	return nil
}

// invocation is the median of invocations of an echo through the server.
func invocation(ctx context.Context, dir string) (time.Duration, error) {
	b, err := start(ctx, dir)
	if err != nil {
		return 0, err
	}
	defer b.stop()
	request, err := b.signed(ctx, b.arn, sessionID, payload(1<<10))
	if err != nil {
		return 0, err
	}
	var all []result
	for range rounds + 1 {
		r, err := load(b.addr, request, 1<<10, 1)
		if err != nil {
			return 0, err
		}
		all = append(all, r)
	}
	return medians(all[1:]).p50, nil // the first one starts the session
}

// court has a user with policies as people have them, its signed request, and an
// issuer's tokens.
type court struct {
	auth.Authorizer
	directory *principal.Directory
	signed    *sigv4.Verifier
	bearer    *jwt.Verifier
	user      auth.Principal
	request   *http.Request
	body      []byte
	tokens    []string
	close     func()
}

const (
	benchDiscovery = "https://issuer.example/.well-known/openid-configuration"
	benchIssuer    = "https://issuer.example"
)

func newCourt(ctx context.Context, dir string) (*court, error) {
	db, err := sqlite.Open(ctx, filepath.Join(dir, "court.db"), sqlite.Options{})
	if err != nil {
		return nil, err
	}
	ring, _, err := secret.EnsureKeyFile(filepath.Join(dir, "court.key"))
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	box, err := secret.NewBox(ring)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	c := &court{body: payload(1 << 10)}
	if c.directory, _, err = principal.Open(ctx, principal.Config{Store: db, Box: box, Rand: rand.Reader, Now: time.Now}); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	c.Authorizer = auth.Authorizer{Identities: c.directory, Resources: c.directory}
	c.signed = sigv4.New(sigv4.Config{Keys: c.directory, SpoolDir: dir})
	err = errors.Join(c.makeUser(ctx), c.makeTokens())
	c.close = func() { c.bearer.Close(); _ = db.Close() } // nothing in it is kept
	return c, err
}

// makeUser makes a user with five policies and a boundary, and what it signs.
func (c *court) makeUser(ctx context.Context) error {
	const name = "bench"
	_, err := c.directory.CreateUser(ctx, principal.NewUser{Name: name})
	if err != nil {
		return err
	}
	holder := principal.Holder{Kind: principal.UserHolder, Name: name}
	for i := range 4 {
		text := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["logs:*","xray:Put*","ecr:BatchGetImage"],"Resource":"*"},` +
			`{"Effect":"Allow","Action":"cloudwatch:PutMetricData","Resource":"*","Condition":{"StringEquals":{"cloudwatch:namespace":"x"}}}]}`
		if err := c.directory.PutInline(ctx, holder, fmt.Sprint("p", i), text); err != nil {
			return err
		}
	}
	err = errors.Join(c.directory.Attach(ctx, holder, "arn:aws:iam::aws:policy/BedrockAgentCoreFullAccess"), c.directory.SetBoundary(ctx, holder, "arn:aws:iam::aws:policy/AdministratorAccess"))
	if err != nil {
		return err
	}
	_, key, err := c.directory.CreateAccessKey(ctx, name)
	if err != nil {
		return err
	}
	known, err := c.directory.Key(ctx, key.AccessKeyID, "")
	if err != nil {
		return err
	}
	c.user = known.Principal
	t := target{"127.0.0.1:8642", client.Credentials{AccountID: c.user.Account, AccessKeyID: key.AccessKeyID, SecretAccessKey: key.Secret.Reveal(), Region: "us-east-1"}}
	raw, err := t.signed(ctx, c.arn(), sessionID, c.body)
	if err != nil {
		return err
	}
	c.request, err = http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	return err
}

func (c *court) arn() string {
	return "arn:aws:bedrock-agentcore:us-east-1:" + c.user.Account + ":runtime/echo-0123456789"
}

// makeTokens signs as many different tokens as are verified.
func (c *court) makeTokens() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	if err != nil {
		return err
	}
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "RS256", Use: "sig"}}})
	if err != nil {
		return err
	}
	c.bearer = jwt.New(jwt.Config{Local: func(context.Context, string) (jwt.Local, bool, error) {
		return jwt.Local{Issuer: benchIssuer, Keys: keys}, true, nil
	}})
	now := time.Now().Unix()
	for i := range checks {
		claims, err := json.Marshal(map[string]any{
			"iss": benchIssuer, "sub": "ada", "client_id": "app", "token_use": "access", "scope": "agents/call", "username": "ada", "jti": fmt.Sprint(i), "iat": now, "exp": now + 3600,
		})
		if err != nil {
			return err
		}
		signed, err := signer.Sign(claims)
		if err != nil {
			return err
		}
		token, err := signed.CompactSerialize()
		if err != nil {
			return err
		}
		c.tokens = append(c.tokens, token)
	}
	return nil
}

// each is the median of what one of many takes, as that of an invocation is one: what
// else the machine does meanwhile makes some of them long. i counts through all.
func (c *court) each(ctx context.Context, do func(ctx context.Context, i int) error) (time.Duration, error) {
	took := make([]time.Duration, checks)
	for i := range took {
		begun := time.Now()
		if err := do(ctx, i); err != nil {
			return 0, err
		}
		took[i] = time.Since(begun)
	}
	return median(took), nil
}

func (c *court) signature(ctx context.Context, _ int) error {
	c.request.Body, c.request.ContentLength = io.NopCloser(bytes.NewReader(c.body)), int64(len(c.body))
	claim, err := sigv4.Parse(c.request)
	if err != nil {
		return err
	}
	id, err := c.signed.Verify(ctx, c.request, claim, sigv4.Expect{})
	if err != nil {
		return err
	}
	defer id.Close()
	body, err := id.Body()
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, body)
	return err
}

func (c *court) token(ctx context.Context, i int) error {
	_, err := c.bearer.Verify(ctx, benchDiscovery, c.tokens[i], jwt.Rules{AllowedClients: []string{"app"}, AllowedScopes: []string{"agents/call"}})
	return err
}

func (c *court) again(ctx context.Context, _ int) error { return c.token(ctx, 0) }

func (c *court) decide(ctx context.Context, _ int) error {
	return c.Authorize(ctx, c.user, []auth.Requirement{{Action: "bedrock-agentcore:InvokeAgentRuntime", Resource: c.arn()}})
}
