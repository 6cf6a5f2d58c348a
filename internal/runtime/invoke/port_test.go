package invoke_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/gorilla/websocket"

	"github.com/outcrop/outcrop/internal/runtime/invoke"
	"github.com/outcrop/outcrop/internal/runtime/runtimetest"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/sessionurl"
)

const endpointHeader = "X-Amzn-Bedrock-Agentcore-Runtime-Session-Endpoint-Url"

// newPortKit has a runtime with open ports.
func newPortKit(t *testing.T) *kit {
	return newKitWith(t, func(in *control.CreateAgentRuntimeInput) {
		in.AllowedPorts = []types.AllowedPort{&types.AllowedPortMemberPort{Value: 8100}, &types.AllowedPortMemberPortRange{Value: types.PortRange{From: aws.Int32(9000), To: aws.Int32(9010)}}}
	})
}

// endpoint begins a session and returns the URL of its ports.
func (k *kit) endpoint(session string) string {
	k.Helper()
	resp := k.send(call{header: http.Header{sessionHeader: {runtimetest.SessionID(session)}}})
	k.text(resp)
	url := resp.Header.Get(endpointHeader)
	if resp.StatusCode != http.StatusOK || url == "" || len(url) > 128 {
		k.Fatalf("the session's URL is %q, status %d", url, resp.StatusCode)
	}
	return url
}

// ask sends a signed request to a URL.
func (k *kit) ask(method, url string, header http.Header, body string) *http.Response {
	k.Helper()
	r, err := http.NewRequestWithContext(k.Context(), method, url, strings.NewReader(body))
	if err != nil {
		k.Fatal(err)
	}
	maps.Copy(r.Header, header)
	sum := sha256.Sum256([]byte(body))
	return k.signed(r, hex.EncodeToString(sum[:]), runtimetest.Region)
}

func (k *kit) signed(r *http.Request, hash, region string) *http.Response {
	k.Helper()
	creds := aws.Credentials{AccessKeyID: runtimetest.KeyID, SecretAccessKey: runtimetest.Secret}
	r.Header.Set("X-Amz-Content-Sha256", hash)
	if err := v4.NewSigner().SignHTTP(k.Context(), creds, r, hash, "bedrock-agentcore", region, time.Now()); err != nil {
		k.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		k.Fatal(err)
	}
	k.Cleanup(func() { _ = resp.Body.Close() }) // most are read to the end
	return resp
}

// TestPort: a request arrives as it was sent, without what is not the port's to
// know, and so does its answer.
func TestPort(t *testing.T) {
	k := newPortKit(t)
	type told struct {
		Method, Host, URI, Body string
		Header                  http.Header
	}
	seen := make(chan told, 10)
	k.agent(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/invocations" {
			return
		}
		body, _ := io.ReadAll(r.Body)
		seen <- told{r.Method, r.Host, r.RequestURI, string(body), r.Header}
		w.Header().Set("Set-Cookie", "console=mine")
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
		w.Header().Set("X-Own", "yes")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "short and stout")
	})
	base := k.endpoint("ports")
	for _, c := range []struct{ method, port, path, want, body string }{
		{"GET", "8100", "/", "/", ""},
		{"POST", "9000", "/a%2Fb/c%20d?q=1&X-Amz-Other=2&r=%2B", "/a%2Fb/c%20d?q=1&r=%2B", "Host: x\r\n\r\n"},
		{"DELETE", "9010", "/items/7/", "/items/7/", ""},
		{"OPTIONS", "8100", "/x", "/x", ""},
		{"PROPFIND", "8100", "/x", "/x", "<all/>"},
	} {
		header := http.Header{"X-Tenant": {"blue"}, "Cookie": {"console=1"}, "Workloadaccesstoken": {"forged"}, "User-Agent": {"me"}, "X-Forwarded-For": {"1.2.3.4"}, "Content-Type": {"text/x"}}
		resp := k.ask(c.method, base+"/"+c.port+c.path, header, c.body)
		if got := k.text(resp); resp.StatusCode != http.StatusTeapot || got != "short and stout" {
			t.Fatalf("%s %s: %d %s", c.method, c.path, resp.StatusCode, got)
		}
		if h := resp.Header; h.Get("Set-Cookie") != "" || h.Get("X-Own") != "yes" || h.Get(sessionHeader) != runtimetest.SessionID("ports") ||
			!slices.Equal(h.Values("Content-Security-Policy"), []string{"sandbox", "default-src 'self'"}) || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %s is answered with %v", c.method, c.path, h)
		}
		got := <-seen
		if got.Method != c.method || got.Host != "localhost:"+c.port || got.URI != c.want || got.Body != c.body {
			t.Errorf("%s %s arrives as %+v", c.method, c.path, got)
		}
		for name, want := range map[string]string{
			"X-Tenant": "blue", "User-Agent": "me", "Content-Type": "text/x", sessionHeader: runtimetest.SessionID("ports"),
			"X-Forwarded-Prefix": strings.TrimPrefix(base, k.URL) + "/" + c.port,
			"Cookie":             "", "Authorization": "", "Workloadaccesstoken": "", "X-Forwarded-For": "", "X-Amz-Date": "", "X-Amz-Content-Sha256": "",
		} {
			if v := got.Header.Get(name); v != want {
				t.Errorf("%s arrives as %q, want %q", name, v, want)
			}
		}
	}
}

// TestPortRefusals holds the texts of what is not passed on.
func TestPortRefusals(t *testing.T) {
	k := newPortKit(t)
	var reached bool
	k.agent(func(_ http.ResponseWriter, r *http.Request) { reached = reached || r.URL.Path != "/invocations" })
	k.Engine.Closed = map[uint16]bool{9001: true}
	base := k.endpoint("refused")
	unknown := base[:len(base)-26] + strings.Repeat("a", 26)
	var out strings.Builder
	tell := func(name string, resp *http.Response) {
		fmt.Fprintf(&out, "%s: %d %s\n", name, resp.StatusCode, strings.ReplaceAll(k.text(resp), base[len(base)-26:], "LABEL"))
	}
	tell("unlisted port", k.ask("GET", base+"/8080/", nil, ""))
	tell("reserved port", k.ask("GET", base+"/8443/", nil, ""))
	tell("no such port", k.ask("GET", base+"/65536/", nil, ""))
	tell("no port", k.ask("GET", base+"/http/", nil, ""))
	tell("port zero", k.ask("GET", base+"/0/", nil, ""))
	tell("port otherwise", k.ask("GET", base+"/%38100/", nil, ""))
	tell("port with a zero", k.ask("GET", base+"/08100/", nil, ""))
	tell("closed port", k.ask("GET", base+"/9001/", nil, ""))
	tell("empty segment", k.ask("GET", base+"/8100//x", nil, ""))
	tell("dots", k.ask("GET", base+"/8100/../9000/", nil, ""))
	tell("no path", k.ask("GET", base+"/8100", nil, ""))
	tell("unknown session", k.ask("GET", unknown+"/8100/", nil, ""))
	tell("no label", k.ask("GET", k.URL+"/_outcrop/sessions/x/8100/", nil, ""))
	unsigned := func(method string) *http.Request {
		r, err := http.NewRequestWithContext(k.Context(), method, base+"/8100/", nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	resp, err := http.DefaultClient.Do(unsigned("GET"))
	if err != nil {
		t.Fatal(err)
	}
	tell("no signature", resp)
	tell("another region", k.signed(unsigned("GET"), emptyHash, "eu-west-1"))
	if err := k.Sessions.Stop(t.Context(), k.Sessions.List(all)[0].Key); err != nil {
		t.Fatal(err)
	}
	tell("ended session", k.ask("GET", base+"/8100/", nil, ""))
	golden := filepath.Join("testdata", "port-refusals.golden")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || out.String() != string(want) {
		t.Errorf("%v; got\n%s", err, out.String())
	}
	if reached {
		t.Error("a port was reached")
	}
}

// TestNoPorts: a runtime without allowedPorts tells no URL, and has nothing behind the
// one that it would tell.
func TestNoPorts(t *testing.T) {
	k := newKit(t)
	k.agent(func(http.ResponseWriter, *http.Request) {})
	resp := k.send(call{})
	if k.text(resp); resp.StatusCode != http.StatusOK || resp.Header.Get(endpointHeader) != "" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	resp = k.ask("GET", k.URL+sessionurl.Path+invoke.Label(k.Sessions.List(all)[0].Key)+"/8100/", nil, "")
	if got := k.text(resp); resp.StatusCode != http.StatusForbidden || !strings.Contains(got, "its runtime has no allowedPorts") {
		t.Errorf("%d %s", resp.StatusCode, got)
	}
}

// TestPortStreams: nothing is held back, and what breaks off does not look complete.
func TestPortStreams(t *testing.T) {
	k := newPortKit(t)
	next := make(chan struct{})
	k.agent(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/invocations" {
			return
		}
		_, _ = io.WriteString(w, "first")
		w.(http.Flusher).Flush()
		<-next
		panic(http.ErrAbortHandler)
	})
	resp := k.ask("GET", k.endpoint("streams")+"/8100/events", nil, "")
	first := make([]byte, 5)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first" {
		t.Fatalf("%q, %v", first, err)
	}
	close(next)
	if rest, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("then %q, and no error", rest)
	}
	k.idle()
}

// TestPortCallerLeaves: nothing is held for who has left.
func TestPortCallerLeaves(t *testing.T) {
	k := newPortKit(t)
	asked, left := make(chan struct{}), make(chan struct{})
	k.agent(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/invocations" {
			close(asked)
			<-r.Context().Done()
			close(left)
		}
	})
	base := k.endpoint("leaves")
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/8100/slow", nil)
	if err != nil {
		t.Fatal(err)
	}
	creds := aws.Credentials{AccessKeyID: runtimetest.KeyID, SecretAccessKey: runtimetest.Secret}
	if err := v4.NewSigner().SignHTTP(ctx, creds, r, emptyHash, "bedrock-agentcore", runtimetest.Region, time.Now()); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if resp, err := http.DefaultTransport.RoundTrip(r); err == nil {
			_ = resp.Body.Close()
		}
	}()
	<-asked
	cancel()
	<-gone
	<-left
	k.idle()
}

// idle waits until no request runs.
func (k *kit) idle() {
	k.Helper()
	for late := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		list := k.Sessions.List(all)
		if len(list) == 1 && list[0].Running == 0 {
			return
		}
		if time.Now().After(late) {
			k.Fatalf("still in use: %+v", list)
		}
	}
}

// TestPortWebSocket: signed in its headers and presigned.
func TestPortWebSocket(t *testing.T) {
	k := newPortKit(t)
	up := websocket.Upgrader{Subprotocols: []string{"chat"}}
	k.agent(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/socket/" {
			return
		}
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			return // it was none
		}
		defer c.Close()
		for {
			kind, text, err := c.ReadMessage()
			if err != nil || c.WriteMessage(kind, append([]byte(r.URL.RawQuery+" "), text...)) != nil {
				return
			}
		}
	})
	base := k.endpoint("socket")
	creds := aws.Credentials{AccessKeyID: runtimetest.KeyID, SecretAccessKey: runtimetest.Secret}
	for _, presigned := range []bool{false, true} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/8100/socket/?room=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		at := r.URL.String()
		if presigned {
			r.URL.RawQuery += "&X-Amz-Expires=300"
			at, _, err = v4.NewSigner().PresignHTTP(t.Context(), creds, r, emptyHash, "bedrock-agentcore", runtimetest.Region, time.Now())
		} else {
			err = v4.NewSigner().SignHTTP(t.Context(), creds, r, emptyHash, "bedrock-agentcore", runtimetest.Region, time.Now())
		}
		if err != nil {
			t.Fatal(err)
		}
		c, resp, err := (&websocket.Dialer{Subprotocols: []string{"chat"}}).DialContext(t.Context(), "ws"+strings.TrimPrefix(at, "http"), r.Header)
		if err != nil {
			t.Fatalf("presigned %v: %v, %v", presigned, err, resp)
		}
		if kind, text, err := says(c, websocket.TextMessage, "hi"); err != nil || kind != websocket.TextMessage || text != "room=1 hi" || c.Subprotocol() != "chat" {
			t.Errorf("presigned %v: %q, %v over %q", presigned, text, err, c.Subprotocol())
		}
		_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(time.Second))
		if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, 1000) {
			t.Errorf("presigned %v: it ends with %v", presigned, err)
		}
		_ = c.Close()
	}
	k.idle()
	// A port that does not upgrade answers as it likes.
	resp := k.ask("GET", base+"/8100/socket/", nil, "")
	if got := k.text(resp); resp.StatusCode != http.StatusBadRequest || got != "Bad Request\n" {
		t.Errorf("%d %s", resp.StatusCode, got)
	}
}

// TestPortAnswersNone: what speaks no HTTP, or switches unasked, is an error.
func TestPortAnswersNone(t *testing.T) {
	for name, says := range map[string]string{
		"switches unasked": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
		"no status":        "HTTP/1.1 042 What\r\n\r\n",
		"no HTTP":          "220 mail.example.com ESMTP\r\n",
		"nothing":          "",
	} {
		k := newPortKit(t)
		k.agent(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/invocations" {
				return
			}
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(c, says)
			_ = c.Close()
		})
		resp := k.ask("GET", k.endpoint("none")+"/8100/", nil, "")
		if got := k.text(resp); resp.StatusCode != http.StatusFailedDependency || !strings.Contains(got, "Port 8100 of the session") {
			t.Errorf("%s: %d %s", name, resp.StatusCode, got)
		}
		k.idle()
	}
}

// all matches every session.
func all(session.Key) bool { return true }
