package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// Server is what is known of an authorization server.
type Server struct {
	// Issuer is who it says it is; nobody, where no document of its own was read.
	Issuer                string `json:"issuer"`
	AuthorizationEndpoint string `json:"authorization_endpoint"`
	TokenEndpoint         string `json:"token_endpoint"`
	// RevocationEndpoint is where tokens are taken back (RFC 7009), or empty.
	RevocationEndpoint string   `json:"revocation_endpoint"`
	Methods            []string `json:"token_endpoint_auth_methods_supported"`
	// NamesItself: it says in answers who it is (RFC 9207).
	NamesItself bool `json:"authorization_response_iss_parameter_supported"`
}

// documentLife is how long a document is taken for true, and incompleteLife one without a
// token endpoint, whose owner is about to mend it; maxDocuments bounds how many are kept.
const (
	documentLife   = time.Hour
	incompleteLife = 10 * time.Second
	maxDocuments   = 256
)

// Directory finds authorization servers by their discovery documents. It is safe for
// concurrent use.
type Directory struct {
	HTTP *http.Client
	Now  func() time.Time

	flights singleflight.Group
	mu      sync.Mutex
	known   map[string]document
}

type document struct {
	server Server
	ends   time.Time
}

// Find reads a discovery document (RFC 8414, OpenID Connect Discovery 1.0).
func (d *Directory) Find(ctx context.Context, at string) (Server, error) {
	d.mu.Lock()
	doc, ok := d.known[at]
	d.mu.Unlock()
	if ok && d.Now().Before(doc.ends) {
		return doc.server, nil
	}
	v, err, _ := d.flights.Do(at, func() (any, error) { return d.read(context.WithoutCancel(ctx), at) })
	if err != nil {
		return Server{}, fmt.Errorf("read discovery document: %w", err)
	}
	return v.(Server), nil
}

func (d *Directory) read(ctx context.Context, at string) (Server, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return Server{}, err
	}
	r.Header.Set("Accept", "application/json")
	answer, err := d.HTTP.Do(r)
	if err != nil {
		return Server{}, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return Server{}, fmt.Errorf("it answered with status %d", answer.StatusCode)
	}
	var s Server
	if err := json.NewDecoder(answer.Body).Decode(&s); err != nil {
		return Server{}, errors.New("it is not the JSON of one")
	}
	if err := s.check(at); err != nil {
		return Server{}, err
	}
	if CheckEndpoint(s.RevocationEndpoint) != nil {
		s.RevocationEndpoint = "" // it is done without
	}
	life := documentLife
	if s.TokenEndpoint == "" {
		life = incompleteLife
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil || len(d.known) >= maxDocuments {
		d.known = map[string]document{}
	}
	d.known[at] = document{s, d.Now().Add(life)}
	return s, nil
}

// check refuses a document that speaks for another issuer than the one whose it is
// (RFC 8414 3.3), or leads where nobody may be sent.
func (s Server) check(at string) error {
	home, _, _ := strings.Cut(at, "/.well-known/")
	u, err := url.Parse(s.Issuer)
	if err != nil {
		return errors.New("its issuer is no URL")
	}
	// RFC 8414 puts the issuer's path behind the well-known part, OpenID Connect before.
	path := ""
	if _, after, ok := strings.Cut(at, "/.well-known/oauth-authorization-server"); ok {
		path = after
	}
	if issuer := strings.TrimSuffix(u.String(), "/"); issuer != strings.TrimSuffix(home+path, "/") && issuer != strings.TrimSuffix(home, "/") {
		return errors.New("it speaks for another issuer")
	}
	for _, e := range []string{s.AuthorizationEndpoint, s.TokenEndpoint} {
		if e == "" {
			continue // it may have but one of them
		}
		if err := CheckEndpoint(e); err != nil {
			return err
		}
	}
	return nil
}

// CheckEndpoint refuses what is no endpoint of a service: a browser or this server is
// sent there.
func CheckEndpoint(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return errors.New("it is not an https URL")
	case u.User != nil || u.Fragment != "":
		return errors.New("it has a user or a fragment")
	}
	return nil
}
