package mcp_test

import (
	"cmp"
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

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/function"
	"github.com/outcrop/outcrop/internal/gateway/mcp"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
)

// functions answer for the interceptors of a gateway, by their ARN.
type functions struct {
	answer map[string]string
	got    map[string]string // payloads
	about  string            // the last client context
	failed bool
	err    error
}

func (f *functions) Invoke(_ context.Context, in function.Invocation) (function.Answer, error) {
	plain, err := base64.StdEncoding.DecodeString(in.Context)
	if err != nil {
		return function.Answer{}, err
	}
	f.got[in.Function], f.about = string(in.Payload), string(plain)
	return function.Answer{Payload: []byte(f.answer[in.Function]), Failed: f.failed}, f.err
}

// intercepting is a kit whose gateway has the functions "req" and "resp" in between.
func intercepting(t *testing.T, request, response string) (*kit, *functions) {
	k := newKit(t)
	f := &functions{answer: map[string]string{"req": request, "resp": response}, got: map[string]string{}}
	config := func(arn, point string) agentcorecontrol.GatewayInterceptorConfiguration {
		return agentcorecontrol.GatewayInterceptorConfiguration{
			Interceptor:        &agentcorecontrol.InterceptorConfiguration{Lambda: &agentcorecontrol.LambdaInterceptorConfiguration{Arn: &arn}},
			InterceptionPoints: []string{point}, InputConfiguration: &agentcorecontrol.InterceptorInputConfiguration{PassRequestHeaders: new(true)},
		}
	}
	k.v.ARN = "arn:g"
	k.v.Config = &agentcorecontrol.UpdateGatewayRequest{}
	if request != "" {
		k.v.Config.InterceptorConfigurations = append(k.v.Config.InterceptorConfigurations, config("req", "REQUEST"))
	}
	if response != "" {
		k.v.Config.InterceptorConfigurations = append(k.v.Config.InterceptorConfigurations, config("resp", "RESPONSE"))
	}
	k.e = mcp.New(mcp.Config{
		Box: secrettest.Box(t), Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Functions: f,
		Changed: func() <-chan struct{} { return make(chan struct{}) }, Latest: func(context.Context, string) (*gateway.View, error) { return k.v, nil },
	})
	return k, f
}

const aCall = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"T2___get_time","arguments":{}}}`

func TestInterceptors(t *testing.T) {
	same := `{"interceptorOutputVersion":"1.0","mcp":{}}`
	for name, tt := range map[string]struct {
		request, response string
		status            int
		want              string
	}{
		"nothing changes": {same, same, 200, `{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"ok"}],"isError":false}}`},
		"another request": {
			`{"interceptorOutputVersion":"1.0","mcp":{"transformedGatewayRequest":{"headers":{"Authorization":"Bearer theirs"},"body":{"jsonrpc":"2.0","id":99,"method":"tools/call","params":{"name":"T1___send","arguments":{"a":1}}}}}}`, "",
			200, `{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"ok"}],"isError":false}}`,
		},
		"an answer of its own": {
			`{"interceptorOutputVersion":"1.0","mcp":{"transformedGatewayResponse":{"statusCode":403,"headers":{"X-Why":"policy"},"body":{"no":1}}}}`, same,
			403, `{"no":1}`,
		},
		"another answer":  {"", `{"interceptorOutputVersion":"1.0","mcp":{"transformedGatewayResponse":{"statusCode":200,"body":{"masked":true}}}}`, 200, `{"masked":true}`},
		"a body of null":  {"", `{"interceptorOutputVersion":"1.0","mcp":{"transformedGatewayResponse":{"body":null}}}`, 500, `{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"An internal error occurred. Please retry later.","data":{"aws.bedrock-agentcore.gateway/requestId":"req-1"}}}`},
		"another version": {`{"interceptorOutputVersion":"2.0","mcp":{}}`, "", 500, `{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"An internal error occurred. Please retry later.","data":{"aws.bedrock-agentcore.gateway/requestId":"req-1"}}}`},
		"no message":      {`{"interceptorOutputVersion":"1.0","mcp":{"transformedGatewayRequest":{"body":{"x":1}}}}`, "", 500, `{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"An internal error occurred. Please retry later.","data":{"aws.bedrock-agentcore.gateway/requestId":"req-1"}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			k, _ := intercepting(t, tt.request, tt.response)
			w := k.send("POST", aCall)
			if w.Code != tt.status || w.Body.String() != tt.want {
				t.Errorf("%d %s\nwant %d %s", w.Code, w.Body, tt.status, tt.want)
			}
			switch name {
			case "another request":
				if len(k.two.calls) != 1 || !k.two.calls[0].Intercepted || k.two.calls[0].Header.Get("Authorization") != "Bearer theirs" || string(k.two.calls[0].Arguments) != `{"a":1}` {
					t.Errorf("%+v", k.two.calls)
				}
			case "an answer of its own":
				if len(k.one.calls) > 0 || w.Header().Get("X-Why") != "policy" {
					t.Errorf("%+v %v", k.one.calls, w.Header())
				}
			}
		})
	}
}

// TestInterceptorsTold: what they are told, and that what fails does not pass.
func TestInterceptorsTold(t *testing.T) {
	same := `{"interceptorOutputVersion":"1.0","mcp":{}}`
	k, f := intercepting(t, same, same)
	k.send("POST", aCall, "X-Tenant: a")
	var got struct {
		Version string `json:"interceptorInputVersion"`
		MCP     struct {
			Raw struct {
				Body string `json:"body"`
			} `json:"rawGatewayRequest"`
			Request struct {
				Path, HTTPMethod string
				Headers          map[string]string
				Body             json.RawMessage
			} `json:"gatewayRequest"`
			Response struct {
				StatusCode int
				Body       json.RawMessage
			} `json:"gatewayResponse"`
		} `json:"mcp"`
	}
	if err := json.Unmarshal([]byte(f.got["resp"]), &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != "1.0" || got.MCP.Raw.Body != aCall || got.MCP.Request.Path != "/mcp" || got.MCP.Request.HTTPMethod != "POST" || got.MCP.Request.Headers["X-Tenant"] != "a" ||
		string(got.MCP.Request.Body) != aCall || got.MCP.Response.StatusCode != 200 || !strings.Contains(string(got.MCP.Response.Body), `"ok"`) {
		t.Errorf("%s", f.got["resp"])
	}
	if strings.Contains(f.got["req"], "gatewayResponse") || f.about != `{"custom":{"GATEWAY_ACCOUNT_ID":"123456789012","GATEWAY_ARN":"arn:g","REQUEST_ID":"req-1","SOURCE_IP":"192.0.2.1"}}` {
		t.Errorf("%s\n%s", f.got["req"], f.about)
	}
	for _, broken := range []func(){func() { f.failed = true }, func() { f.err = errors.New("gone") }} {
		broken()
		before := len(k.one.calls)
		if w := k.send("POST", aCall); w.Code != http.StatusInternalServerError || len(k.one.calls) != before {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

// TestInterceptorsDebugged: who debugs a gateway reads what is wrong with its interceptor.
func TestInterceptorsDebugged(t *testing.T) {
	for name, tt := range map[string]struct {
		answer string
		failed bool
		err    error
		want   string
	}{
		"it raises":       {answer: `{"errorType":"ValueError","errorMessage":"no tenant"}`, failed: true, want: "interceptor req failed: ValueError: no tenant"},
		"another version": {answer: `{"interceptorOutputVersion":"2.0","mcp":{}}`, want: `interceptor req answered an interceptorOutputVersion that is not \"1.0\"`},
		"no message": {
			answer: `{"interceptorOutputVersion":"1.0","mcp":{"transformedGatewayRequest":{"body":"{}"}}}`,
			want:   "The gateway's interceptor made something of the request that cannot be served: The request is no JSON-RPC message: it is not well formed",
		},
		"denied":    {err: function.ErrDenied, want: "Access denied while invoking interceptor req. Let the gateway's role invoke it (lambda:InvokeFunction)"},
		"gone":      {err: function.ErrNone, want: "interceptor req not found"},
		"refused":   {err: fault.New("TooManyRequestsException", 429, "Rate Exceeded"), want: "interceptor req could not be invoked: Rate Exceeded"},
		"our fault": {err: errors.New("disk full"), want: "interceptor req could not be invoked"},
	} {
		t.Run(name, func(t *testing.T) {
			k, f := intercepting(t, cmp.Or(tt.answer, "{}"), "")
			f.failed, f.err = tt.failed, tt.err
			for _, debug := range []bool{false, true} {
				want := "An internal error occurred. Please retry later."
				if k.v.Debug = debug; debug {
					want = tt.want
				}
				want = `{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"` + want + `","data":{"aws.bedrock-agentcore.gateway/requestId":"req-1"}}}`
				if w := k.send("POST", aCall); w.Code != http.StatusInternalServerError || w.Body.String() != want {
					t.Errorf("%d %s\nwant %s", w.Code, w.Body, want)
				}
			}
		})
	}
}

// TestInterceptorsTooLarge: who sends or gets what no function can be shown reads what may be
// sent. No tool is called for an answer that could not be shown either.
func TestInterceptorsTooLarge(t *testing.T) {
	const same = `{"interceptorOutputVersion":"1.0","mcp":{}}`
	call := func(size int) string {
		return `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"T2___get_time","arguments":{"a":"` + strings.Repeat("x", size) + `"}}}`
	}
	const request = `{"jsonrpc":"2.0","id":7,"error":{"code":-32600,"message":"The request has %d bytes, and is too large for this gateway's interceptor: that is sent at most 6291456 bytes, in which a request is twice, with its headers. ` +
		`Send less than half of that, or a link to what is large"}}`
	for name, tt := range map[string]struct {
		request, response string
		size, status      int
		want              string
	}{
		"it fits":                   {same, same, 3040000, 200, `{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"ok"}],"isError":false}}`},
		"a request":                 {same, "", 3250585, 413, fmt.Sprintf(request, len(call(3250585)))},
		"a request and its headers": {same, "", 3145600, 413, fmt.Sprintf(request, len(call(3145600)))},
		"of an answer":              {"", same, 3250585, 413, fmt.Sprintf(request, len(call(3250585)))},
	} {
		k, _ := intercepting(t, tt.request, tt.response)
		w := k.send("POST", call(tt.size))
		if w.Code != tt.status || w.Body.String() != tt.want {
			t.Errorf("%s: %d %.500s\nwant %s", name, w.Code, w.Body, tt.want)
		}
		if called := len(k.one.calls) > 0; called != (tt.status == 200) {
			t.Errorf("%s: the tool was called: %v", name, called)
		}
	}
	k, _ := intercepting(t, "", same)
	k.one.body = `{"content":[{"type":"text","text":"` + strings.Repeat("x", 7<<20) + `"}]}`
	w := k.send("POST", aCall)
	if want := `"code":-32603,"message":"The answer is too large for this gateway's interceptor of answers: that is sent at most 6291456 bytes, in which the request is twice beside the answer. ` +
		`The gateway's owner can leave bodies out of what it sees (payloadFilter, RESPONSE_BODY)"`; w.Code != http.StatusBadGateway || !strings.Contains(w.Body.String(), want) {
		t.Errorf("%d %.500s\nwant %s", w.Code, w.Body, want)
	}
}
