package signin

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/outcrop/outcrop/conformance/pinned"
)

// TestDocuments: clients of the official SDKs that publish a document about themselves sign
// in by its URL, without registering.
func TestDocuments(t *testing.T) {
	var site *httptest.Server
	site = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"client_id": site.URL + "/client.json", "client_name": "Editor", "redirect_uris": []string{"http://127.0.0.1/callback"}, "token_endpoint_auth_method": "none",
			"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"},
		})
	}))
	t.Cleanup(site.Close)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: site.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, "--trust-ca", roots)
	second := pinned.Packages(t, "../upstream/testdata/requirements.txt")
	node, packages := pinned.Node(t, "testdata", "testdata/sdk.mjs")
	id := site.URL + "/client.json"
	for name, run := range map[string]func(t *testing.T, visit func(string)) []word{
		"Python 2": func(t *testing.T, visit func(string)) []word {
			return talk(t, "testdata", []string{"PYTHONPATH=" + second, "CLIENT_URL=" + id}, visit, pinned.Program(t, "python"), "sdk2.py", h.gateway)
		},
		"TypeScript 1": func(t *testing.T, visit func(string)) []word {
			return talk(t, packages, []string{"CLIENT_URL=" + id}, visit, node, "sdk.mjs", h.gateway, "1")
		},
		"TypeScript 2": func(t *testing.T, visit func(string)) []word {
			return talk(t, packages, []string{"CLIENT_URL=" + id}, visit, node, "sdk.mjs", h.gateway, "2")
		},
	} {
		t.Run(name, func(t *testing.T) {
			h.T = t
			said := run(t, func(link string) { h.comesBack(link, id) })
			if len(said) != 6 || said[5].Refreshed == nil || !*said[5].Refreshed {
				t.Fatalf("it says %+v", said)
			}
			calls(t, said[1:])
		})
	}
	h.T = t
	var listed struct{ UserPoolClients []any }
	if err := h.s.JSON11(t.Context(), "cognito-idp.ListUserPoolClients", map[string]any{"UserPoolId": h.pool}, &listed); err != nil || len(listed.UserPoolClients) != 0 {
		t.Errorf("registered: %+v %v", listed, err)
	}
}

// comesBack signs ada in at the link of a client, who is to call itself so, and leads her back.
func (h *house) comesBack(link, id string) {
	h.Helper()
	at, err := url.Parse(link)
	if err != nil || at.Query().Get("client_id") != id {
		h.Fatalf("the client asks with %s %v", link, err)
	}
	resp, err := http.Get(at.Query().Get("redirect_uri") + "?" + h.pages(link, "ada").Encode())
	if err != nil {
		h.Fatal(err)
	}
	resp.Body.Close()
}
