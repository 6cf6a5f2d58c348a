package hostile

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// nowhere is said of names that are nobody's: which of a resolver's errors that is, is its
// own affair.
const nowhere = ""

// closed are URLs that nobody may have called, and what is said of them.
func closed() map[string]string {
	const meta, link, loop, private, none = "metadata service", "link-local", "a loopback address", "the address is private", "of no single machine"
	return map[string]string{
		"https://" + theirs: private, "http://" + theirs + ".": nowhere, "https://[" + theirs6 + "]": private, "https://private.test": private, "https://PRIVATE.test.": private,
		"http://" + ours: "the address is this machine's", "https://[" + ours6 + "]": "the address is this machine's",
		"https://127.0.0.1": loop, "https://localhost": loop, "https://LOCALHOST.": nowhere, "http://x.localhost": nowhere, "https://[::1]": loop, "https://loop.test": loop, "https://[::ffff:127.0.0.1]": loop,
		"http://127.1": nowhere, "http://2130706433": nowhere, "http://0x7f000001": nowhere, "http://0177.0.0.1": nowhere, "http://0": nowhere,
		"https://0.0.0.0": none, "https://[::]": none,
		"http://" + metadata: meta, "https://" + metadata: meta, "http://" + metadata + ".": nowhere, "https://metadata.test": meta, "https://mapped.test": meta, "http://[" + amazon6 + "]": meta,
		"http://[::ffff:" + metadata + "]": meta, "http://[::ffff:a9fe:a9fe]": meta, "https://[64:ff9b::a9fe:a9fe]": meta, "https://[2002:a9fe:a9fe::]": meta,
		"http://2852039166": nowhere, "http://0xa9fea9fe": nowhere, "http://0251.0376.0251.0376": nowhere, "http://①⑥⑨.254.169.254": nowhere,
		"http://" + linked: link, "https://linked.test": link, "https://[fe80::1]": link,
		"http://good.test": "without TLS", "https://somebody:secret@good.test": "user name or password",
	}
}

// refused tells whether a text says that nobody is asked: for a reason, or since the URL is
// none that can be asked. What Identity tells its callers of addresses is that there is a
// line in the log.
func refused(r *rig, text, name, why string) bool {
	if strings.Contains(text, "the server's log says why") {
		for line := range strings.Lines(r.Server.Log()) {
			if strings.Contains(line, "/"+name+" ") && (strings.Contains(line, "is not called: ") && strings.Contains(line, why) || why == nowhere) {
				return true
			}
		}
		return false
	}
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
	}
	return has("is not called: ") && has(why) || why == nowhere && has("not resolve", "no such host", "could not be reached") || has("failed to satisfy constraint", "has a user", "is not an https URL", "must be")
}

// welcome begins what is said by whom may be called.
const welcome = "hello from "

// TestReach: what is not public is never called, by whatever writing, name or redirect, and
// whoever asked for it is told why.
func TestReach(t *testing.T) {
	w := enter(t)
	if w == nil {
		return
	}
	w.site = site()
	r := start(t, "--trust-ca", w.roots)
	r.leads(t, w, "good", map[string]string{"https://good.test": "", "https://" + public: ""}, welcome)
	r.leads(t, w, "closed", closed(), "")
	r.rebinds(t, w, "https://rebind.test")
	r.redirects(t, w)
}

// TestOpened: what the operator opens is called; metadata services and link-local addresses
// are not, whatever he opens.
func TestOpened(t *testing.T) {
	w := enter(t)
	if w == nil {
		return
	}
	w.site = site()
	open := []string{"--trust-ca", w.roots}
	for _, what := range []string{"10.0.0.0/8", "fd00::/8", "127.0.0.0/8", "::1", "0.0.0.0/0", "::/0", "metadata.test", "linked.test", "mapped.test", "private.test"} {
		open = append(open, "--allow-private", what)
	}
	r := start(t, open...)
	r.leads(t, w, "open", map[string]string{
		"https://" + theirs: "", "http://" + theirs: "", "https://[" + theirs6 + "]": "", "http://private.test": "", "https://good.test": "", "http://127.0.0.1": "", "https://localhost": "", "https://[::1]": "",
	}, welcome)
	w.visited()
	never := closed()
	for url, why := range never {
		if !strings.Contains(why, "metadata") && why != "link-local" && why != "of no single machine" && !strings.HasPrefix(why, "user name") {
			delete(never, url)
		}
	}
	r.leads(t, w, "never", never, "")
	r.redirects(t, w)
}

// leads has each kind lead to each URL. Where want is empty nobody may be reached, and what
// is said has the URL's reason; else what is said has want.
func (r *rig) leads(t *testing.T, w *world, prefix string, urls map[string]string, want string) {
	t.Helper()
	type one struct {
		kind
		name, url, why string
	}
	var all []one
	for k, of := range kinds() {
		for i, url := range slices.Sorted(maps.Keys(urls)) {
			all = append(all, one{of, fmt.Sprintf("%s-%d-%d", prefix, k, i), url, urls[url]})
		}
	}
	work := make(chan one)
	var workers sync.WaitGroup
	for range 3 { // a gateway takes five targets at once
		workers.Go(func() {
			for o := range work {
				text := o.says(r, o.name, o.url)
				// Some kinds' URLs have no IPv6 addresses in the model.
				unfit := strings.Contains(o.url, "[") && strings.Contains(text, "failed to satisfy constraint")
				if ok := unfit || want != "" && strings.Contains(text, want) || want == "" && refused(r, text, o.name, o.why); !ok {
					t.Errorf("%s at %s says %q, want %q", o.kind.name, o.url, text, want+o.why)
				}
			}
		})
	}
	for _, o := range all {
		work <- o
	}
	close(work)
	workers.Wait()
	if want == "" {
		r.nobody(t, w, prefix)
	}
}

// nobody wants no address to have been visited but the public one, where tokens are asked
// to lead.
func (r *rig) nobody(t *testing.T, w *world, what string) {
	t.Helper()
	for who, n := range w.visited() {
		if who != public {
			t.Errorf("%s: %s was visited %d times", what, who, n)
		}
	}
}

// rebinds calls by a name that leads elsewhere each time it is asked for.
func (r *rig) rebinds(t *testing.T, w *world, url string) {
	t.Helper()
	for _, k := range kinds()[1:4] { // those whose making asks nobody
		name := "rebind-" + k.name
		if text := k.make(r, name, url); text != "" {
			t.Errorf("%s: %s", k.name, text)
			continue
		}
		called := 0
		for range 12 {
			text := k.use(r, name)
			if strings.Contains(text, welcome+public) {
				called++
			} else if !strings.Contains(text, "is not called: ") {
				t.Errorf("%s: %s", k.name, text)
			}
		}
		if called == 0 {
			t.Errorf("%s: it is never called", k.name)
		}
		k.drop(r, name)
	}
	if w.asked["rebind.test."] < 5 {
		t.Errorf("the name was asked for %d times", w.asked["rebind.test."])
	}
	r.nobody(t, w, "a name that rebinds")
}

// redirects has a public site lead each kind to who must not be called.
func (r *rig) redirects(t *testing.T, w *world) {
	t.Helper()
	w.visited()
	for k, of := range kinds() {
		for i, to := range []string{"http://" + metadata, "https://" + metadata, "https://" + theirs, "https://127.0.0.1", "https://[::ffff:a9fe:a9fe]", "https://private.test", "https://rebind.test/to/https://metadata.test"} {
			text := of.says(r, fmt.Sprintf("to-%d-%d", k, i), "https://good.test/to/"+to)
			if strings.Contains(text, welcome) {
				t.Errorf("%s: a redirect to %s is followed: %s", of.name, to, text)
			}
		}
	}
	r.nobody(t, w, "redirects")
}

// site is a server of each kind at once, which says at which address it was reached, and
// leads elsewhere below /to/.
func site() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, _, _ := net.SplitHostPort(r.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
		if _, to, ok := strings.Cut(r.URL.Path, "/to/"); ok {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		var message struct {
			ID     json.RawMessage
			Method string
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		scheme := "http://"
		if r.TLS != nil {
			scheme = "https://"
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.Unmarshal(body, &message) // it may be none
		switch {
		case strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration"):
			fmt.Fprintf(w, `{"issuer":"%[1]s","jwks_uri":"%[1]s/keys"}`, scheme+r.Host)
		case r.URL.Path == "/keys":
			_, _ = io.WriteString(w, `{"keys":[{"kty":"EC","crv":"P-256","kid":"1","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`)
		case strings.Contains(string(body), "grant_type="):
			_, _ = io.WriteString(w, `{"access_token":"token","token_type":"Bearer","expires_in":60}`)
		case strings.HasPrefix(message.Method, "notifications/"):
			w.WriteHeader(http.StatusAccepted)
		case message.Method != "":
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,%s}`, message.ID, protocol(message.Method, welcome+at, "hello"))
		default:
			fmt.Fprintf(w, `{"text":"hello from %s"}`, at)
		}
	})
}

// protocol is what an MCP server with some tools answers: the rest of the message.
func protocol(method, says string, tools ...string) string {
	switch method {
	case "initialize":
		return `"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"site","version":"1"}}`
	case "tools/list":
		var list []string
		for _, name := range tools {
			list = append(list, `{"name":"`+name+`","inputSchema":{"type":"object"}}`)
		}
		return `"result":{"tools":[` + strings.Join(list, ",") + `]}`
	case "tools/call":
		return `"result":{"content":[{"type":"text","text":"` + says + `"}]}`
	}
	return `"error":{"code":-32601,"message":"Method not found"}`
}
