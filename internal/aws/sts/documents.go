package sts

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/outcrop/outcrop/internal/federation"
)

// Published is what an issuer of tokens shows to everybody. *federation.Issuer does.
type Published interface {
	Published(ctx context.Context, id string) (federation.Document, jose.JSONWebKeySet, bool, error)
}

var _ Published = (*federation.Issuer)(nil)

// Documents is the http.Handler of the documents by which services verify the tokens of
// GetWebIdentityToken: discovery and keys.
type Documents struct {
	Issuer Published
	Log    *slog.Logger
}

// The paths below the issuer's name.
const (
	discoveryPath = "/.well-known/openid-configuration"
	keysPath      = "/.well-known/jwks.json"
)

// split returns the issuer's id and which document is asked for.
func split(path string) (id, document string, ok bool) {
	rest, ok := strings.CutPrefix(path, federation.Path)
	end := strings.IndexByte(rest, '/')
	if !ok || end < 1 {
		return "", "", false
	}
	id, document = rest[:end], rest[end:]
	return id, document, document == discoveryPath || document == keysPath
}

// Serves reports whether a request is for one of the documents, by its path alone.
func (*Documents) Serves(r *http.Request) bool {
	_, _, ok := split(r.URL.Path)
	return ok
}

// ServeHTTP answers one request.
func (d *Documents) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Access-Control-Allow-Origin", "*") // they are public
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		head.Set("Allow", "GET, HEAD")
		http.Error(w, "Use GET", http.StatusMethodNotAllowed)
		return
	}
	id, path, _ := split(r.URL.Path)
	document, keys, ok, err := d.Issuer.Published(r.Context(), id)
	if err != nil {
		d.Log.ErrorContext(r.Context(), "document of issuer not shown", "path", r.URL.Path, "error", err)
		http.Error(w, "Something went wrong here. Try again later.", http.StatusInternalServerError)
		return
	}
	if !ok {
		http.Error(w, "There is nothing at this path", http.StatusNotFound)
		return
	}
	var body []byte
	if path == keysPath {
		body, err = json.Marshal(keys)
	} else {
		body, err = json.Marshal(document)
	}
	if err != nil {
		d.Log.ErrorContext(r.Context(), "document of issuer not written", "path", r.URL.Path, "error", err)
		http.Error(w, "Something went wrong here. Try again later.", http.StatusInternalServerError)
		return
	}
	head.Set("Content-Type", "application/json")
	head.Set("Cache-Control", "public, max-age=300")
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // a client that has left
	}
}
