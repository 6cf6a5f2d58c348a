// Package metadata is the metadata service that a guest finds at 169.254.169.254
// and its credentials at 169.254.170.2: one Handler for each session.
//
// Which session asks is told by the wire that a request came over, so no secret
// of a guest's is needed for it. What is served is what AgentCore's own microVMs
// have (spec/runtime.md 11): the credentials of the execution role, by IMDSv2
// alone, under the name execution_role; and the region. There is no identity
// document and no instance id, since clients that find them take themselves to
// be on EC2. Everything else is 404.
package metadata

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"path"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// The addresses at which AWS's SDKs ask for it.
var (
	Address          = netip.AddrPortFrom(netip.AddrFrom4([4]byte{169, 254, 169, 254}), 80)
	ContainerAddress = netip.AddrPortFrom(netip.AddrFrom4([4]byte{169, 254, 170, 2}), 80)
)

// RoleName is what the execution role is called in the metadata of every guest,
// whatever its name is, as on AWS.
const RoleName = "execution_role"

// Credentials are temporary credentials of the execution role.
type Credentials struct {
	AccessKeyID, SecretAccessKey, Token string
	Issued, Expires                     time.Time
}

// Format keeps the secrets out of logs and errors, whatever the verb.
func (c Credentials) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "credentials %s [redacted]", c.AccessKeyID)
}

// Config says what one session finds. All members are required but those that
// say otherwise.
type Config struct {
	// Credentials makes new credentials of the execution role. Nil means that
	// there is none. It is asked again when half of their life is over, and
	// called by one goroutine at a time.
	Credentials func(ctx context.Context) (Credentials, error)
	// Copied says that the guest will be saved and others be copied from it.
	// It is told that its credentials are over in a minute, so that the SDK in a
	// copy asks for the copy's own before it uses these, or soon after.
	Copied bool
	// Role is the ARN of the execution role.
	Role   string
	Region string
	// ContainerToken is the value of Authorization with which a guest gets its
	// credentials at ContainerPath; empty refuses them there. (A service that
	// asks for nothing would give them to whoever makes the guest fetch a URL.)
	ContainerToken string
	Now            func() time.Time
	Log            *slog.Logger
}

// Handler answers one session. It is safe for concurrent use.
type Handler struct {
	cfg    Config
	tokens *tokens
	rate   *rate.Limiter
	tree   map[string]string // path without the last slash: text

	mu      sync.Mutex
	current Credentials
}

// New returns the Handler of one session.
func New(cfg Config) *Handler {
	h := &Handler{cfg: cfg, rate: rate.NewLimiter(ratePerSecond, rateBurst)}
	h.tokens = newTokens(rand.Reader, cfg.Now)
	h.tree = tree(cfg)
	return h
}

// credentialsPath is served apart from the tree.
const credentialsPath = "/latest/meta-data/iam/security-credentials/" + RoleName

// tree is all that is the same for the life of the session. A folder's text is
// the list of what is in it; folders in it end in a slash.
func tree(cfg Config) map[string]string {
	t := map[string]string{
		"":                            "latest",
		"/latest":                     "meta-data",
		"/latest/meta-data":           "placement/",
		"/latest/meta-data/placement": "availability-zone\nregion",
		// The one zone there is. Old SDKs learn the region by cutting off its
		// last letter.
		"/latest/meta-data/placement/availability-zone": cfg.Region + "a",
		"/latest/meta-data/placement/region":            cfg.Region,
	}
	if cfg.Credentials != nil {
		t["/latest/meta-data"] = "iam/\nplacement/"
		t["/latest/meta-data/iam"] = "security-credentials/"
		t["/latest/meta-data/iam/security-credentials"] = RoleName
	}
	return t
}

const tokenPath = "/latest/api/token"

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if !h.rate.AllowN(h.cfg.Now(), 1) {
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusTooManyRequests)
		return
	}
	// Both SDKs and people end paths with a slash or not, and double some.
	at := strings.TrimSuffix(path.Clean("/"+r.URL.Path), "/")
	switch {
	case at == tokenPath:
		h.serveToken(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed)
	case at == ContainerPath:
		h.serveContainer(w, r)
	case !h.tokens.valid(r.Header[headerToken]):
		refuse(w, http.StatusUnauthorized)
	case at == credentialsPath && h.cfg.Credentials != nil:
		h.serveCredentials(w, r, roleForm)
	default:
		text, ok := h.tree[at]
		if !ok {
			refuse(w, http.StatusNotFound)
			return
		}
		write(w, text)
	}
}

// serveToken begins a session of IMDSv2.
func (h *Handler) serveToken(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPut {
		w.Header().Set("Allow", http.MethodPut)
		refuse(w, http.StatusMethodNotAllowed)
		return
	}
	// Proxies that anybody can use from outside add it; AWS refuses it too.
	if len(r.Header["X-Forwarded-For"]) > 0 {
		refuse(w, http.StatusForbidden)
		return
	}
	life, ok := parseLife(r.Header[headerLife])
	if !ok {
		refuse(w, http.StatusBadRequest)
		return
	}
	w.Header()[headerLife] = []string{fmt.Sprint(int(life / time.Second))}
	write(w, h.tokens.issue(life))
}

func refuse(w http.ResponseWriter, status int) {
	http.Error(w, fmt.Sprintf("%d - %s", status, http.StatusText(status)), status)
}

// write answers 200. What cannot be written any more has nobody to read it.
func write(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Length", fmt.Sprint(len(text)))
	_, _ = w.Write([]byte(text))
}
