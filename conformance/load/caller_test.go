package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/conformance/server"
)

// rig is a server with two gateways in front of an upstream, and a caller of theirs. That
// of sessions keeps them.
type rig struct {
	*server.Server
	up              *upstream
	plain, sessions *server.Gateway
	token           string
	client          *http.Client
	// open are the server's descriptors before the first call.
	open int
}

// atOnce is how many calls run at once at most.
const atOnce = 128

func newRig(t *testing.T, most int) *rig {
	t.Helper()
	r := &rig{up: newUpstream(t, most)}
	r.Server = server.Start(t, server.Options{Args: []string{"--allow-private", "127.0.0.1"}})
	make := func(name string, keeps *types.SessionConfiguration) *server.Gateway {
		return r.Gateway(&control.CreateGatewayInput{
			Name: &name, ProtocolType: types.GatewayProtocolTypeMcp, AuthorizerType: types.AuthorizerTypeCustomJwt, AuthorizerConfiguration: r.up.issuer.Authorizer("load"),
			ProtocolConfiguration: &types.GatewayProtocolConfigurationMemberMcp{Value: types.MCPGatewayConfiguration{SessionConfiguration: keeps}},
		})
	}
	r.plain, r.sessions = make("plain", nil), make("sessions", &types.SessionConfiguration{SessionTimeoutInSeconds: aws.Int32(900)})
	r.plain.Target("up", server.McpServer(r.up.URL+"/mcp"))
	r.plain.Target("api", server.OpenAPI(r.up.document()))
	r.sessions.Target("kept", server.McpServer(r.up.URL+"/kept"))
	var err error
	if r.token, err = r.up.issuer.Token("somebody", "load"); err != nil {
		t.Fatal(err)
	}
	r.client = &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: atOnce, DisableCompression: true}}
	r.open = r.Usage().Files
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		if t.Failed() {
			t.Logf("server:\n%.20000s", r.Log())
		}
	})
	return r
}

// send sends one message, and wants an answer with a text in it.
func (r *rig) send(ctx context.Context, g *server.Gateway, session, method, params, want string) (http.Header, error) {
	id := `"id":1,`
	if strings.HasPrefix(method, "notifications/") {
		id = ""
	}
	body := `{"jsonrpc":"2.0",` + id + `"method":"` + method + `","params":` + params + `}`
	header, answer, err := r.do(ctx, http.MethodPost, g, session, body)
	if err == nil && (!strings.Contains(answer, want) || strings.Contains(answer, `"isError":true`)) {
		err = fmt.Errorf("%s %s answers %s, want %s", method, params, answer, want)
	}
	return header, err
}

func (r *rig) do(ctx context.Context, verb string, g *server.Gateway, session, body string) (http.Header, string, error) {
	q, err := http.NewRequestWithContext(ctx, verb, g.URL, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	q.Header = http.Header{
		"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Mcp-Protocol-Version": {"2025-06-18"}, "Authorization": {"Bearer " + r.token},
	}
	if session != "" {
		q.Header.Set("Mcp-Session-Id", session)
	}
	a, err := r.client.Do(q)
	if err != nil {
		return nil, "", err
	}
	defer a.Body.Close()
	answer, err := io.ReadAll(a.Body)
	if err == nil && a.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s %s", verb, body, a.Status, answer)
	}
	return a.Header, string(answer), err
}

// number calls the tool that counts, with a number of its own.
func (r *rig) number(ctx context.Context) error {
	n := r.up.calls.next.Add(1)
	_, err := r.send(ctx, r.plain, "", "tools/call", fmt.Sprintf(`{"name":"up___number","arguments":{"number":%d}}`, n), fmt.Sprintf(`"number %d"`, n))
	return err
}

// item calls the HTTP API.
func (r *rig) item(ctx context.Context) error {
	n := r.up.items.next.Add(1)
	_, err := r.send(ctx, r.plain, "", "tools/call", fmt.Sprintf(`{"name":"api___item","arguments":{"number":%d}}`, n), fmt.Sprintf(`item %d`, n))
	return err
}

// list lists the tools.
func (r *rig) list(ctx context.Context) error {
	_, err := r.send(ctx, r.plain, "", "tools/list", `{}`, `"up___number"`)
	return err
}

// visit is a session from its beginning to its end.
func (r *rig) visit(ctx context.Context) error {
	h, err := r.send(ctx, r.sessions, "", "initialize", `{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"load","version":"1"}}`, `"protocolVersion"`)
	if err != nil {
		return err
	}
	id := h.Get("Mcp-Session-Id")
	if id == "" {
		return errors.New("initialize gives no session")
	}
	if _, err := r.send(ctx, r.sessions, id, "notifications/initialized", `{}`, ""); err != nil {
		return err
	}
	if _, err := r.send(ctx, r.sessions, id, "tools/call", `{"name":"kept___hello","arguments":{}}`, `"hello"`); err != nil {
		return err
	}
	_, _, err = r.do(ctx, http.MethodDelete, r.sessions, id, "")
	return err
}

// hangUp leaves when the call has arrived.
func (r *rig) hangUp(ctx context.Context) error {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	n, arrived, ended := r.up.tried.Add(1), make(chan struct{}), make(chan error, 1)
	r.up.stuck.Store(n, arrived)
	go func() {
		_, err := r.send(ctx, r.plain, "", "tools/call", fmt.Sprintf(`{"name":"up___stuck","arguments":{"number":%d}}`, n), "")
		ended <- err
	}()
	select {
	case <-arrived:
		leave()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			return fmt.Errorf("a call that was left ended with %w", err)
		}
		return nil
	case err := <-ended:
		return fmt.Errorf("a call that nobody answers ended: %w", err)
	}
}
