package oidc

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/issuer"
	"github.com/outcrop/outcrop/internal/outbound"
)

// documents reads what clients publish about themselves at the URL that is their id
// (draft-ietf-oauth-client-id-metadata-document-02).
type documents struct {
	http  *http.Client
	now   func() time.Time
	log   *slog.Logger
	most  time.Duration // that fetching one takes
	slots chan struct{} // a place for each that is fetched

	mu   sync.Mutex
	kept map[string]keptDocument
}

type keptDocument struct {
	said  registration
	until time.Time
}

// The bounds of documents.
const (
	maxDocument   = 5 << 10 // bytes, as the draft recommends
	maxDocuments  = 1000    // that are kept
	maxFetched    = 32      // at once
	documentTime  = 5 * time.Second
	leastKept     = time.Minute // so that the steps of a sign-in are one fetch
	mostKept      = 24 * time.Hour
	keptByDefault = 10 * time.Minute
)

func newDocuments(cfg Config) *documents {
	client := *cfg.HTTP
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &documents{http: &client, now: cfg.Now, log: cfg.Log, most: documentTime, slots: make(chan struct{}, maxFetched), kept: map[string]keptDocument{}}
}

// read returns what the document of a client says. One that is not kept is fetched, if the
// caller may have it fetched.
func (d *documents) read(ctx context.Context, id string, allow func() bool) (registration, error) {
	d.mu.Lock()
	held, ok := d.kept[id]
	d.mu.Unlock()
	if ok && d.now().Before(held.until) {
		return held.said, nil
	}
	if !allow() {
		return registration{}, fault.BadRequest(issuer.CodeTooManyRequests, "Too many applications are looked up: ten from one address, then one in five seconds. Try again later")
	}
	ctx, cancel := context.WithTimeout(ctx, d.most)
	defer cancel()
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		return registration{}, errFetch(id, "is not answered in time")
	}
	said, life, err := d.fetch(ctx, id)
	if err == nil {
		d.keep(id, keptDocument{said, d.now().Add(life)})
	}
	return said, err
}

func (d *documents) keep(id string, k keptDocument) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.kept) >= maxDocuments {
		now := d.now()
		maps.DeleteFunc(d.kept, func(_ string, k keptDocument) bool { return !now.Before(k.until) })
	}
	if len(d.kept) >= maxDocuments {
		clear(d.kept) // they are fetched again
	}
	d.kept[id] = k
}

// errFetch is for the user alone. Strangers have documents fetched: it tells nothing of what
// is at an address.
func errFetch(id, problem string) error {
	return issuer.Invalid("The application is not known here: the document about it, %s, %s", id, problem)
}

// fetch reads a document where it is, and how long it is good.
func (d *documents) fetch(ctx context.Context, id string) (said registration, life time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, id, nil)
	if err != nil {
		return said, 0, err
	}
	r.Header.Set("Accept", "application/json")
	resp, err := d.http.Do(r)
	if err != nil {
		d.log.InfoContext(ctx, "document of a client not fetched", "client", id, "error", outbound.WithoutURL(err))
		return said, 0, errFetch(id, "cannot be fetched; the server's log says why")
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return said, 0, errFetch(id, "comes with status "+strconv.Itoa(resp.StatusCode)+"; it must come with 200, and not by a redirect")
	}
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" && !(strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json")) {
		return said, 0, errFetch(id, "must be of the type application/json")
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return said, 0, errFetch(id, "breaks off")
	}
	if len(body) > maxDocument {
		return said, 0, errFetch(id, "has more than "+strconv.Itoa(maxDocument)+" bytes")
	}
	said, problem := readDocument(id, body)
	if problem != "" {
		return said, 0, errFetch(id, "is refused. "+problem)
	}
	life, told := outbound.Freshness(resp.Header, d.now())
	if !told {
		life = keptByDefault
	}
	return said, min(max(life, leastKept), mostKept), nil
}

// readDocument reads the metadata that a document of a client has; problem is what is wrong
// with it, or empty.
func readDocument(id string, body []byte) (said registration, problem string) {
	var own struct {
		ID      string `json:"client_id"`
		Method  string `json:"token_endpoint_auth_method"`
		Secret  any    `json:"client_secret"`
		Expires any    `json:"client_secret_expires_at"`
	}
	if err := json.Unmarshal(body, &own); err != nil {
		return said, "It is no JSON object of a client's metadata"
	}
	switch {
	case own.ID != id:
		return said, "Its client_id must be its own URL, to the letter"
	case own.Secret != nil || own.Expires != nil:
		return said, "A document that everybody reads has no client_secret"
	case own.Method != "" && own.Method != "none":
		return said, "The token_endpoint_auth_method of such a client is none"
	}
	said, _, problem = readRegistration(body)
	said.Method = "none"
	return said, problem
}

// client returns a client of the pool, with what its document says where it publishes one.
func (h *Handler) client(r *http.Request, f face, id string) (issuer.Client, error) {
	if issuer.IsClientURL(id) && f.pool.Registration.Open {
		if err := issuer.CheckClientURL(id); err != nil {
			return issuer.Client{}, err
		}
	}
	c, err := h.cfg.Pools.ClientOf(r.Context(), f.pool.Scope, f.pool.ID, id)
	if err != nil || !c.Published {
		return c, err
	}
	said, err := h.documents.read(r.Context(), id, func() bool { return h.registers.Allow(caller(r)) })
	if err != nil {
		return c, err
	}
	return c.Saying(said.Name, said.Redirects, strings.Fields(said.Scope))
}

// publisher is the host of a client's document, which tells users whose it is.
func publisher(c issuer.Client) string {
	if u, err := url.Parse(c.ID); err == nil && c.Published {
		return u.Host
	}
	return ""
}
