package route_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	model "github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/function"
	"github.com/outcrop/outcrop/internal/gateway/inference"
	"github.com/outcrop/outcrop/internal/gateway/interceptor"
	"github.com/outcrop/outcrop/internal/gateway/route"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// hooks answer for the functions "req" and "resp".
type hooks struct {
	answers map[string]func(payload string) string
	got     map[string]string
	about   string
	err     error
}

func (h *hooks) Invoke(_ context.Context, in function.Invocation) (function.Answer, error) {
	about, err := base64.StdEncoding.DecodeString(in.Context)
	if err != nil {
		return function.Answer{}, err
	}
	h.got[in.Function], h.about = string(in.Payload), string(about)
	return function.Answer{Payload: []byte(h.answers[in.Function](string(in.Payload)))}, h.err
}

// intercepts puts functions between a kit's gateway and its callers.
func (k *kit) intercepts(request, response func(string) string, exclude bool) *hooks {
	h := &hooks{answers: map[string]func(string) string{"req": request, "resp": response}, got: map[string]string{}}
	k.view.ARN, k.view.Config = "arn:g", &model.UpdateGatewayRequest{}
	for arn, point := range map[string]string{"req": "REQUEST", "resp": "RESPONSE"} {
		if h.answers[arn] == nil {
			continue
		}
		in := &model.InterceptorInputConfiguration{PassRequestHeaders: p(true)}
		if exclude {
			in.PayloadFilter = &model.InterceptorPayloadFilter{Exclude: []model.InterceptorPayloadExclusionSelector{{Field: p("RESPONSE_BODY")}}}
		}
		k.view.Config.InterceptorConfigurations = append(k.view.Config.InterceptorConfigurations, model.GatewayInterceptorConfiguration{
			Interceptor:        &model.InterceptorConfiguration{Lambda: &model.LambdaInterceptorConfiguration{Arn: &arn}},
			InterceptionPoints: []string{point}, InputConfiguration: in,
		})
	}
	k.router = route.New(route.Config{Now: time.Now, Log: slog.New(slog.DiscardHandler), Functions: h})
	return h
}

// says is a function that always answers the same.
func says(parts string) func(string) string {
	return func(string) string { return `{"interceptorOutputVersion":"1.0","http":` + parts + `}` }
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestIntercepted(t *testing.T) {
	const same, internal = "{}", "InternalServerException: An internal error occurred. Please retry later."
	for name, tt := range map[string]struct {
		request, response string // what the functions answer; empty is no function
		status            int
		body              string
		header            map[string]string
	}{
		"nothing changes": {same, same, 200, "POST hello X-Mine=caller key", map[string]string{"X-Seen": "1", "Content-Type": "text/x"}},
		"another request": {`{"transformedGatewayRequest":{"headers":{"x-mine":"theirs","x-other":"o","authorization":"Bearer theirs"},"body":"` + b64("bye") + `"}}`, "",
			200, "POST bye X-Mine=theirs Bearer theirs", nil},
		"headers alone": {`{"transformedGatewayRequest":{"headers":{"x-mine":"theirs"},"body":null}}`, "", 200, "POST hello X-Mine=theirs key", nil},
		"an empty body": {`{"transformedGatewayRequest":{"body":""}}`, "", 200, "POST  X-Mine=caller key", nil},
		"one bad part":  {`{"transformedGatewayRequest":{"body":"!"},"transformedGatewayResponse":{"statusCode":403}}`, same, 500, internal, nil},
		"its own answer": {`{"transformedGatewayResponse":{"statusCode":403,"contentType":"text/plain","headers":{"X-Why":"policy","Set-Cookie":"a=b","Connection":"x","Clear-Site-Data":"*"},"body":"` + b64("no") + `"}}`,
			`{"transformedGatewayResponse":{"statusCode":200}}`, 403, "no", map[string]string{"X-Why": "policy", "Set-Cookie": "", "Clear-Site-Data": "", "Content-Type": "text/plain", "Content-Length": "2"}},
		"its own, of no type": {`{"transformedGatewayResponse":{"body":"` + b64("<script>") + `"}}`, "", 200, "<script>", map[string]string{"Content-Type": "application/json"}},
		"another answer": {"", `{"transformedGatewayResponse":{"statusCode":201,"contentType":"text/y","headers":{"X-More":"m","content-length":"1"},"body":"` + b64("masked") + `"}}`,
			201, "masked", map[string]string{"X-Seen": "1", "X-More": "m", "Content-Type": "text/y", "Content-Length": "6"}},
		"status alone":     {"", `{"transformedGatewayResponse":{"statusCode":202,"body":null}}`, 202, "POST hello X-Mine=caller key", map[string]string{"Content-Type": "text/x"}},
		"another protocol": {`null,"mcp":{}`, "", 500, internal, nil},
		"no base64":        {"", `{"transformedGatewayResponse":{"body":"{}"}}`, 500, internal, nil},
		"no text":          {"", `{"transformedGatewayResponse":{"body":{"a":1}}}`, 500, internal, nil},
		"no status":        {"", `{"transformedGatewayResponse":{"statusCode":42}}`, 500, internal, nil},
		"a status of 100":  {`{"transformedGatewayResponse":{"statusCode":100}}`, "", 500, internal, nil},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t)
			k.shows = "key"
			k.passes("api", upstream(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				w.Header().Set("X-Seen", "1")
				w.Header().Set("Content-Type", "text/x")
				fmt.Fprintf(w, "%s %s X-Mine=%s %s", r.Method, body, r.Header.Get("X-Mine"), r.Header.Get("Authorization"))
				if r.Header.Get("X-Other") != "" {
					t.Error("a header that is not allowed has passed")
				}
			}), func(s *target.Source) {
				s.Metadata = &model.MetadataConfiguration{AllowedRequestHeaders: []string{"x-mine"}, AllowedResponseHeaders: []string{"x-seen"}}
			})
			var request, response func(string) string
			if tt.request != "" {
				request = says(tt.request)
			}
			if tt.response != "" {
				response = says(tt.response)
			}
			h := k.intercepts(request, response, false)
			status, header, body := k.ask("POST", "/api/x", http.Header{"X-Mine": {"caller"}}, strings.NewReader("hello"))
			if status != tt.status || body != tt.body {
				t.Errorf("%d %s, want %d %s", status, body, tt.status, tt.body)
			}
			for name, want := range tt.header {
				if got := header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if name == "its own answer" && h.got["resp"] != "" {
				t.Error("the interceptor of answers has seen what no target answered")
			}
		})
	}
}

// TestInterceptorDebugged: who debugs a gateway reads what is wrong with its interceptor.
func TestInterceptorDebugged(t *testing.T) {
	k := newKit(t)
	k.passes("api", upstream(t, func(http.ResponseWriter, *http.Request) {}), nil)
	k.intercepts(nil, says(`{"transformedGatewayResponse":{"body":"{}"}}`), false)
	for debug, want := range map[bool]string{
		false: "InternalServerException: An internal error occurred. Please retry later.",
		true:  "InternalServerException: interceptor resp answered a transformedGatewayResponse whose body is not in base64",
	} {
		k.view.Debug = debug
		if status, _, body := k.ask("GET", "/api/x", nil, nil); status != 500 || body != want {
			t.Errorf("%d %s, want %s", status, body, want)
		}
	}
}

// TestInterceptorsTold is what functions are told, word for word.
func TestInterceptorsTold(t *testing.T) {
	k := newKit(t)
	k.passes("api", upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/x")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, "answer")
	}), nil)
	h := k.intercepts(says("{}"), says("{}"), false)
	k.ask("PUT", "/api/a%20b?q=1", http.Header{"X-A": {"1", "2"}, "User-Agent": {"u"}, "Accept-Encoding": {"identity"}}, strings.NewReader("\xff"))
	if want := `{"interceptorInputVersion":"1.0","http":{"gatewayRequest":{"path":"/api/a%20b","query":"q=1","httpMethod":"PUT",` +
		`"headers":{"Accept-Encoding":"identity","Content-Length":"1","User-Agent":"u","X-A":"1, 2"},"body":"/w=="}}}`; h.got["req"] != want {
		t.Errorf("%s, want\n%s", h.got["req"], want)
	}
	if want := `{"interceptorInputVersion":"1.0","http":{"gatewayRequest":null,"gatewayResponse":{"contentType":"text/x","statusCode":418,"headers":{"Content-Type":"text/x"},"body":"` + b64("answer") + `"}}}`; h.got["resp"] != want {
		t.Errorf("%s, want\n%s", h.got["resp"], want)
	}
	if want := `{"custom":{"GATEWAY_ACCOUNT_ID":"","GATEWAY_ARN":"arn:g","REQUEST_ID":"request-1","SOURCE_IP":"192.0.2.9"}}`; h.about != want {
		t.Errorf("%s, want %s", h.about, want)
	}
	// A function that is not asked for headers, and fails: nothing passes.
	k.view.Config.InterceptorConfigurations[0].InputConfiguration, k.view.Config.InterceptorConfigurations[1].InputConfiguration = nil, nil
	h.err = errors.New("gone")
	if status, _, body := k.ask("GET", "/api/x", http.Header{"X-A": {"1"}}, nil); status != 500 || strings.Contains(h.got["req"], "headers") || strings.Contains(body, "gone") {
		t.Errorf("%d %s %s", status, body, h.got["req"])
	}
	k.router = route.New(route.Config{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if status, _, _ := k.ask("GET", "/api/x", nil, nil); status != 500 {
		t.Errorf("without functions: %d", status)
	}
}

// TestInterceptedTooLarge: what does not fit into a payload does not pass unseen, in
// either direction; where bodies are left out, what is large passes.
func TestInterceptedTooLarge(t *testing.T) {
	large := bytes.Repeat([]byte("x"), interceptor.MaxPayload*4/5)
	reached := 0
	serve := func(w http.ResponseWriter, r *http.Request) {
		reached++
		if n := r.URL.Query().Get("n"); n == "unending" {
			for {
				if _, err := w.Write(large); err != nil {
					return
				}
			}
		}
		_, _ = w.Write(large)
	}
	k := newKit(t)
	k.passes("api", upstream(t, serve), nil)
	k.intercepts(says("{}"), says("{}"), false)
	if status, _, body := k.ask("POST", "/api/x", nil, bytes.NewReader(large)); status != 413 || reached > 0 || !strings.Contains(body, "too large for this gateway's interceptor") {
		t.Errorf("%d %s", status, body)
	}
	for _, path := range []string{"/api/x", "/api/x?n=unending"} {
		if status, _, body := k.ask("GET", path, nil, nil); status != 502 || len(body) > 1000 || !strings.Contains(body, "payloadFilter, RESPONSE_BODY") {
			t.Errorf("%s: %d %.300s", path, status, body)
		}
	}
	k.intercepts(says("{}"), says(`{"transformedGatewayResponse":{"headers":{"X-More":"m"}}}`), true)
	if status, header, body := k.ask("GET", "/api/x", nil, nil); status != 200 || len(body) != len(large) || header.Get("X-More") != "m" {
		t.Errorf("%d %d bytes %v", status, len(body), header)
	}
}

// TestInterceptedStream: an interceptor of requests alone, and one that sees no body, let
// a stream pass while it comes.
func TestInterceptedStream(t *testing.T) {
	for name, response := range map[string]func(string) string{"requests alone": nil, "no bodies": says("{}")} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t)
			more := make(chan struct{})
			k.passes("api", upstream(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				fmt.Fprint(w, "data: 1\n\n")
				w.(http.Flusher).Flush()
				<-more
				fmt.Fprint(w, "data: 2\n\n")
			}), nil)
			h := k.intercepts(says("{}"), response, true)
			resp, err := http.Get(k.url + "/api/x")
			if err != nil {
				t.Fatal(err)
			}
			defer http.DefaultClient.CloseIdleConnections()
			defer resp.Body.Close()
			first := make([]byte, 9)
			_, err = io.ReadFull(resp.Body, first)
			close(more)
			rest, _ := io.ReadAll(resp.Body)
			if err != nil || string(first)+string(rest) != "data: 1\n\ndata: 2\n\n" {
				t.Errorf("%v %q %q", err, first, rest)
			}
			if response != nil && !strings.Contains(h.got["resp"], `"body":null`) {
				t.Error(h.got["resp"])
			}
		})
	}
}

// TestInterceptedModels: the model that counts, and that is asked, is the one that the
// interceptor has left; the tokens of an answer that it has changed count as they were.
func TestInterceptedModels(t *testing.T) {
	k := newKit(t)
	k.serves("t", upstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"asked":%s,"usage":{"total_tokens":50}}`, body)
	}), false, []string{"small", "big"}, inference.Chat)
	to := func(model string) func(string) string {
		return func(payload string) string {
			var in struct {
				HTTP struct {
					Request struct{ Path, Body string } `json:"gatewayRequest"`
				} `json:"http"`
			}
			if err := json.Unmarshal([]byte(payload), &in); err != nil {
				return err.Error()
			}
			if in.HTTP.Request.Path == "/inference/v1/models" {
				return says(`{"transformedGatewayResponse":{"body":"` + b64(`{"data":[]}`) + `"}}`)("")
			}
			return says(`{"transformedGatewayRequest":{"body":"` + b64(`{"model":"`+model+`"}`) + `"}}`)("")
		}
	}
	big := map[string]string{"qualifiedModelId": "big"}
	tokens := limit("tokens", []string{"qualifiedModelId"}, big, 1)
	tokens.Entries[0].Requests, tokens.Entries[0].Tokens = nil, []model.RateConfig{{Rate: p(40.0), Period: p("minute")}}
	k.view.Limits = []gateway.Limit{limit("auto", []string{"qualifiedModelId", "targetName"}, map[string]string{"qualifiedModelId": "small", "targetName": "t"}, 1), tokens}
	k.intercepts(to("big"), says(`{"transformedGatewayResponse":{"body":"`+b64("{}")+`"}}`), false)
	post := func(body string) (int, string) {
		status, _, out := k.ask("POST", "/inference/v1/chat/completions", nil, strings.NewReader(body))
		return status, out
	}
	if status, body := post(`{"model":"small"}`); status != 200 || body != "{}" {
		t.Errorf("%d %s", status, body)
	}
	// Small's one request of a minute was given back, and big's tokens are used up.
	if status, body := post(`{"model":"small"}`); status != 429 || !strings.Contains(body, "tokens of tokens/qualifiedModelId=big") {
		t.Errorf("%d %s", status, body)
	}
	if status, body := post(`{"model":"auto"}`); status != 429 || !strings.Contains(body, "big") {
		t.Errorf("%d %s", status, body)
	}
	k.intercepts(to("small"), nil, false)
	for _, asked := range []string{`{"model":"auto"}`, `{}`, `not JSON`} {
		k.router = route.New(route.Config{Now: time.Now, Log: slog.New(slog.DiscardHandler), Functions: k.intercepts(to("small"), nil, false)})
		if status, body := post(asked); status != 200 || !strings.Contains(body, `"asked":{"model":"small"}`) {
			t.Errorf("%s: %d %s", asked, status, body)
		}
	}
	k.intercepts(to("none"), nil, false)
	if status, body := post(`{"model":"small"}`); status != 404 || !strings.Contains(body, "Model 'none' not found on any target.") {
		t.Errorf("%d %s", status, body)
	}
	if status, _, body := k.ask("GET", "/inference/v1/models", nil, nil); status != 200 || body != `{"data":[]}` {
		t.Errorf("%d %s", status, body)
	}
}
