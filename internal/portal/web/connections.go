package web

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/outcrop/outcrop/internal/portal"
)

// Gateways tells what the gateways of portals reach for their users.
type Gateways interface {
	// Targets returns those of a portal's gateway for which users agree one by one. Errors
	// are those of SignIns.
	Targets(ctx context.Context, p portal.Portal) (Listing, error)
}

// Listing is a gateway with such targets.
type Listing struct {
	// Gateway is its name.
	Gateway string
	Targets []Target
}

// Target is one that is called with a user's own token.
type Target struct {
	Name, Description string
	// Provider is the name of its credential provider, Vendor of whose service that is.
	Provider, Vendor string
	Scopes           []string
	Parameters       map[string]string
	// ReturnURL is where users come back to from there who have agreed.
	ReturnURL string
}

// Connection is what a user agrees to at once: a service with some scopes, for all targets
// that want just these.
type Connection struct {
	Provider, Vendor string
	Scopes           []string
	Parameters       map[string]string
	Targets          []Target
}

// key names a connection in forms. What it is made of a user cannot change by it.
func (c *Connection) key() string {
	h := sha256.New()
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(c.Parameters)) {
		parts = append(parts, name, c.Parameters[name])
	}
	for _, list := range [][]string{{c.Provider}, c.Scopes, parts} {
		b := binary.AppendUvarint(nil, uint64(len(list)))
		for _, text := range list {
			b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
		}
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// connections joins targets that want the same of the same service.
func connections(targets []Target) []Connection {
	var out []Connection
	at := map[string]int{}
	for _, t := range targets {
		c := Connection{Provider: t.Provider, Vendor: t.Vendor, Scopes: slices.Compact(slices.Sorted(slices.Values(t.Scopes))), Parameters: t.Parameters}
		key := c.key()
		i, ok := at[key]
		if !ok {
			i = len(out)
			at[key], out = i, append(out, c)
		}
		out[i].Targets = append(out[i].Targets, t)
	}
	slices.SortStableFunc(out, func(a, b Connection) int {
		return cmp.Or(strings.Compare(a.Provider, b.Provider), strings.Compare(strings.Join(a.Scopes, " "), strings.Join(b.Scopes, " ")))
	})
	return out
}

// listed is how long a listing may be used again: a target that is new shows so much later.
const listed = 30 * time.Second

// maxListings bounds the portals whose listings are kept; one more than that empties them.
const maxListings = 1024

// listings keeps what gateways reach, as each is asked in some ten calls.
type listings struct {
	now     func() time.Time
	flights singleflight.Group
	mu      sync.Mutex
	known   map[string]listing
}

type listing struct {
	Listing
	role string
	ends time.Time
}

func (l *listings) find(ctx context.Context, g Gateways, p portal.Portal) (Listing, error) {
	l.mu.Lock()
	have, ok := l.known[p.ARN]
	l.mu.Unlock()
	if ok && have.role == p.Role && l.now().Before(have.ends) {
		return have.Listing, nil
	}
	got, err, _ := l.flights.Do(p.ARN+" "+p.Role, func() (any, error) {
		return g.Targets(context.WithoutCancel(ctx), p)
	})
	if err != nil {
		return Listing{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil || len(l.known) >= maxListings {
		l.known = map[string]listing{}
	}
	l.known[p.ARN] = listing{got.(Listing), p.Role, l.now().Add(listed)}
	return got.(Listing), nil
}

// home shows a user's connections, or where to sign in.
func (h *Handler) home(v *visit) {
	s, ok, err := h.current(v)
	switch {
	case err != nil:
		h.broken(v, err)
	case !ok:
		h.show(v, page{Kind: kindSignIn})
	default:
		h.overview(v, s, notes(v.query.Get("note")))
	}
}

// notes are what a page says of what was just done; they are named, so that no link makes a
// page say anything else.
func notes(name string) string {
	switch name {
	case "connected":
		return "You are connected."
	case "disconnected":
		return "You are disconnected. What was agreed to is forgotten here, and taken back at the service where it can be."
	case "refused":
		return "You did not agree, so nothing was connected."
	case "already":
		return "You were connected already."
	}
	return ""
}

func (h *Handler) overview(v *visit, s session, note string) {
	list, err := h.listings.find(v.r.Context(), h.cfg.Gateways, v.Portal)
	if err != nil {
		h.unavailable(v, "gateway", err)
		return
	}
	p := page{Kind: kindConnections, Note: note, Gateway: list.Gateway, User: s.Name, CSRF: s.CSRF.Reveal()}
	for _, c := range connections(list.Targets) {
		is, err := h.cfg.Consents.Connected(v.r.Context(), v.Portal, v.user, c)
		if err != nil && !isRefusal(err) {
			h.broken(v, err)
			return
		}
		row := row{Key: c.key(), Provider: c.Provider, Vendor: vendorName(c.Vendor), Scopes: c.Scopes, Connected: err == nil && is}
		for _, t := range c.Targets {
			row.Targets = append(row.Targets, rowTarget{t.Name, t.Description})
			row.Elsewhere = row.Elsewhere || t.ReturnURL != v.URL+portal.ReturnPath
		}
		p.Rows = append(p.Rows, row)
	}
	h.show(v, p)
}

// vendorName is what a vendor is called on pages: GithubOauth2 is Github.
func vendorName(vendor string) string {
	name := strings.TrimSuffix(vendor, "Oauth2")
	if name == "Custom" {
		return ""
	}
	return name
}

// chosen returns the connection that a form names, of those that the gateway has.
func (h *Handler) chosen(v *visit) (Connection, bool) {
	list, err := h.listings.find(v.r.Context(), h.cfg.Gateways, v.Portal)
	if err != nil {
		h.unavailable(v, "gateway", err)
		return Connection{}, false
	}
	for _, c := range connections(list.Targets) {
		if c.key() == v.r.PostForm.Get("connection") {
			v.about = append(v.about, portal.ProviderARN(v.Scope, c.Provider))
			return c, true
		}
	}
	h.wrong(v, "The gateway does not reach that any more. Go back to the portal.")
	return Connection{}, false
}

// disconnect forgets what a user agreed to.
func (h *Handler) disconnect(v *visit) {
	if _, ok := h.form(v); !ok {
		return
	}
	c, ok := h.chosen(v)
	if !ok {
		return
	}
	if err := h.cfg.Consents.Disconnect(v.r.Context(), v.Portal, v.user, c); err != nil {
		h.unavailable(v, "token vault", err)
		return
	}
	h.back(v, "disconnected")
}

// back leads to the connections, with a note.
func (h *Handler) back(v *visit, note string) { h.see(v, v.URL+"?"+query("note", note)) }

// see sends a browser on by GET, after whatever it sent.
func (h *Handler) see(v *visit, to string) {
	v.status = http.StatusSeeOther
	v.w.Header().Set("Location", to)
	v.w.WriteHeader(v.status)
}
