package oidc

import (
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/issuer"
)

// registration is a client's metadata (RFC 7591 2), as far as it counts here.
type registration struct {
	Name      string   `json:"client_name,omitempty"`
	Redirects []string `json:"redirect_uris"`
	Method    string   `json:"token_endpoint_auth_method"`
	Grants    []string `json:"grant_types"`
	Responses []string `json:"response_types"`
	Scope     string   `json:"scope,omitempty"`
}

// registered is the answer (RFC 7591 3.2.1).
type registered struct {
	registration
	ID      string `json:"client_id"`
	Issued  int64  `json:"client_id_issued_at"`
	Secret  string `json:"client_secret,omitempty"`
	Expires *int64 `json:"client_secret_expires_at,omitempty"`
}

// The bounds of a registration.
const (
	maxRedirects = 10
	maxRedirect  = 1024
	maxName      = 80
)

// register lets a client register itself, if the pool does.
func (h *Handler) register(w http.ResponseWriter, r *http.Request, f face) {
	if !f.pool.Registration.Open {
		writeError(w, http.StatusForbidden, "access_denied", "Clients do not register themselves with this pool")
		return
	}
	if !h.registers.Allow(caller(r)) {
		w.Header().Set("Retry-After", "5")
		writeError(w, http.StatusTooManyRequests, "temporarily_unavailable", "Too many clients register themselves: ten from one address, then one in five seconds. Try again later")
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		writeError(w, http.StatusBadRequest, "invalid_client_metadata", "The body cannot be read")
		return
	}
	in, code, problem := readRegistration(body)
	if code != "" {
		writeError(w, http.StatusBadRequest, code, problem)
		return
	}
	c, err := h.cfg.Pools.Register(r.Context(), f.pool, in.Name, in.Redirects, strings.Fields(in.Scope), in.Method != "none")
	if told := fault.From(err); err != nil && told.Status < http.StatusInternalServerError {
		writeError(w, http.StatusBadRequest, "invalid_client_metadata", told.Message)
		return
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	key, err := h.cfg.Pools.Secret(r.Context(), c)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	in.Scope = strings.Join(c.Scopes, " ")
	out := registered{registration: in, ID: c.ID, Issued: c.Created.Unix(), Secret: key.Reveal()}
	if !c.Public() {
		out.Expires = new(int64(0))
	}
	answer, err := json.Marshal(out)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(answer) // a client that has left
}

// caller is the address of who asks.
func caller(r *http.Request) netip.Addr {
	at, _ := netip.ParseAddrPort(r.RemoteAddr)
	return at.Addr()
}

// readRegistration reads the metadata of a client. code is RFC 7591's of what is
// wrong, or empty.
func readRegistration(body []byte) (in registration, code, problem string) {
	if err := json.Unmarshal(body, &in); err != nil {
		return in, "invalid_client_metadata", "The body is no JSON object of a client's metadata"
	}
	if in.Method == "" {
		in.Method = "client_secret_basic"
	}
	if len(in.Grants) == 0 {
		in.Grants = []string{"authorization_code"}
	}
	if len(in.Responses) == 0 {
		in.Responses = []string{"code"}
	}
	if in.Name = plain(in.Name); in.Name == "" {
		in.Name = "an application without a name"
	}
	switch {
	case len(in.Redirects) == 0 || len(in.Redirects) > maxRedirects:
		return in, "invalid_redirect_uri", "There must be from one to ten redirect_uris"
	case !slices.Contains([]string{"none", "client_secret_basic", "client_secret_post"}, in.Method):
		return in, "invalid_client_metadata", "The token_endpoint_auth_method is none, client_secret_basic or client_secret_post"
	case len(in.Responses) != 1 || in.Responses[0] != "code":
		return in, "invalid_client_metadata", "The response type is code"
	}
	// What else a client can do is of no use here; it reads what is left (RFC 7591 3.2.1).
	in.Grants = slices.DeleteFunc(in.Grants, func(g string) bool { return g != "authorization_code" && g != "refresh_token" })
	if !slices.Contains(in.Grants, "authorization_code") {
		return in, "invalid_client_metadata", "The grant types are authorization_code and refresh_token"
	}
	for _, u := range in.Redirects {
		if err := issuer.CheckRedirect(u); err != nil || len(u) > maxRedirect {
			return in, "invalid_redirect_uri", "A redirect URI is https, http on the user's own machine, or an app's own scheme"
		}
	}
	return in, "", ""
}

// plain makes a name that does not look like anything but one: short, on one line,
// without characters that are not seen or that turn the text around.
func plain(name string) string {
	name = strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) || unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, ""))
	if runes := []rune(name); len(runes) > maxName {
		name = string(runes[:maxName])
	}
	return strings.TrimSpace(name)
}
