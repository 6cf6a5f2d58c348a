package inference

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/passthrough"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

func TestEdit(t *testing.T) {
	for _, c := range []struct {
		in, model string
		usage     bool
		want      string
	}{
		{`{"model":"a","x":1}`, "b", false, `{"model":"b","x":1}`},
		{"{ \"x\" : 1e400 , \"model\"\n: \"a\\u0062\" ,\"y\":{\"model\":\"keep\"}}  ", `q"`, false, "{ \"x\" : 1e400 , \"model\"\n: \"q\\\"\" ,\"y\":{\"model\":\"keep\"}}  "},
		{`{"mod\u0065l":"a"}`, "b", false, `{"mod\u0065l":"b"}`},
		{`{"x":1}`, "", false, `{"x":1}`},
		{`{"model":"a","stream":true}`, "b", true, `{"model":"b","stream":true,"stream_options":{"include_usage":true}}`},
		{`{"stream_options":{"include_usage":false,"z":0},"model":"a","stream":true}`, "b", true, `{"stream_options":{"include_usage":true,"z":0},"model":"b","stream":true}`},
		{`{"model":"a","stream":true,"stream_options":null }`, "b", true, `{"model":"b","stream":true,"stream_options":{"include_usage":true} }`},
		{`{"model":"a","stream":false}`, "b", true, `{"model":"b","stream":false}`},
	} {
		got, err := edit([]byte(c.in), c.model, c.usage)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s %v, want %s", c.in, got, err, c.want)
		}
	}
}

func TestModel(t *testing.T) {
	if m, err := Model([]byte(` {"model":"a\u0062/c","n":[{"model":1}]} `)); m != "ab/c" || err != nil {
		t.Error(m, err)
	}
	for _, in := range []string{"", "[]", `{"model":1}`, `{"model":""}`, `{}`, `{"model":"a"`, `{"model":"a","model":"b"}`, `{"model":"a","Model":"b"}`, `{"model":"a","ſtream":true}`, `{"model":"a"}{}`, "{\"model\":\"\xff\"}", `{"model":null}`} {
		_, err := Model([]byte(in))
		if f, ok := errors.AsType[*target.Failure](err); !ok || f.Type != target.BadRequest || !f.Shown {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// FuzzEdit wants a request that differs in its model alone, or a refusal.
func FuzzEdit(f *testing.F) {
	f.Add(`{"model":"a","stream":true,"stream_options":{"a":[1]}}`, true)
	f.Add(`{"x":{"}":"{"}}`, false)
	f.Fuzz(func(t *testing.T, in string, usage bool) {
		_, _ = Model([]byte(in))
		got, err := edit([]byte(in), "other", usage)
		if err != nil {
			return
		}
		var before, after map[string]json.RawMessage
		if json.Unmarshal([]byte(in), &before) != nil {
			return // what is JSON is judged more strictly here
		}
		if err := json.Unmarshal(got, &after); err != nil || string(after["model"]) != `"other"` {
			t.Fatalf("%q became %q: %v", in, got, err)
		}
		for name, value := range before {
			if name != "model" && name != "stream_options" && !bytes.Equal(value, after[name]) {
				t.Fatalf("%q: member %q became %q", in, name, after[name])
			}
		}
		if usage && string(before["stream"]) == "true" && !strings.Contains(string(after["stream_options"]), `"include_usage":true`) {
			t.Fatalf("%q became %q", in, got)
		}
	})
}

func TestMatch(t *testing.T) {
	o := operation{models: []string{"anthropic.claude-opus-4-7", "anthropic.claude-haiku-*", "gpt-*", "meta/*"}}
	for _, c := range []struct {
		in    string
		strip bool
		want  string
		fit   Fit
	}{
		{"anthropic.claude-opus-4-7", false, "anthropic.claude-opus-4-7", Exact},
		{"claude-opus-4-7", true, "anthropic.claude-opus-4-7", Exact},
		{"claude-opus-4-7", false, "", None},
		{"claude-haiku-4", true, "anthropic.claude-haiku-4", Pattern},
		{"gpt-5.5", true, "gpt-5.5", Pattern},
		{"meta/llama", false, "meta/llama", Pattern},
		{"gpt", false, "", None},
	} {
		if name, fit := o.match(c.in, c.strip, "."); name != c.want || fit != c.fit {
			t.Errorf("%s: %s %d, want %s %d", c.in, name, fit, c.want, c.fit)
		}
	}
	for of, want := range map[string]bool{"gpt-5.5": true, "claude-opus-4-7": false, "x": false} {
		if s := (&Server{provider: provider{operations: []operation{{models: []string{"o1"}}, o}}}); s.Serves(of) != want {
			t.Errorf("%s: %t", of, !want)
		}
	}
	if name, fit := (&operation{}).match("x", false, "."); name != "x" || fit != Any {
		t.Error(name, fit)
	}
}

// TestMantle resolves what the connector of Amazon Bedrock serves by name.
func TestMantle(t *testing.T) {
	p, err := connector("bedrock-mantle", "eu-west-1")
	if err != nil || p.endpoint.String() != "https://bedrock-mantle.eu-west-1.api.aws" {
		t.Fatal(p.endpoint, err)
	}
	for path, of := range map[string]string{Messages: "anthropic.claude-opus-4-7", Chat: "openai.gpt-oss-120b"} {
		s := &Server{provider: p}
		if name, fit := s.Match(context.Background(), target.Call{}, path, of); name != of || fit != Pattern {
			t.Errorf("%s: %s %d", of, name, fit)
		}
	}
	if _, err := connector("x", ""); err == nil {
		t.Error("an unknown connector is taken")
	}
}

func TestMeter(t *testing.T) {
	sse := "text/event-stream; charset=utf-8"
	for name, c := range map[string]struct {
		kind, body string
		want       int64
	}{
		"chat":             {"application/json", `{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21}}`, 21},
		"responses":        {"application/json", `{"usage":{"input_tokens":3,"output_tokens":4,"total_tokens":7}}`, 7},
		"messages":         {"application/json", `{"usage":{"input_tokens":3,"output_tokens":4,"cache_read_input_tokens":5}}`, 12},
		"chat stream":      {sse, "data: {\"choices\":[{}],\"usage\":null}\r\n\r\ndata: {\"choices\":[],\"usage\":{\"total_tokens\":21}}\n\ndata: [DONE]\n\n", 21},
		"responses stream": {sse, "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":1,\"output_tokens\":2,\"total_tokens\":3}}}\n\n", 3},
		"messages stream":  {sse, "event: message_start\ndata: {\"message\":{\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\nevent: message_delta\ndata: {\"usage\":{\"output_tokens\":15}}\n\n", 40},
		"none":             {"application/json", `{"usage":"x"}`, 0},
		"not JSON":         {"text/html", "<usage>", 0},
		"last line":        {sse, `data: {"usage":{"total_tokens":5}}`, 5},
	} {
		for _, one := range []bool{false, true} {
			var r io.Reader = strings.NewReader(c.body)
			if one {
				r = iotest.OneByteReader(r)
			}
			told := []int64{}
			resp := &http.Response{Header: http.Header{"Content-Type": {c.kind}}, Body: io.NopCloser(r)}
			Meter(resp, func(n int64) { told = append(told, n) })
			all, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if string(all) != c.body || err != nil || fmt.Sprint(told) != fmt.Sprint([]int64{c.want}) {
				t.Errorf("%s: told %v, want %d (%v)", name, told, c.want, err)
			}
		}
	}
}

func FuzzMeter(f *testing.F) {
	f.Add([]byte("data: {\"usage\":{\"total_tokens\":21}}\n\n"), true)
	f.Fuzz(func(t *testing.T, body []byte, events bool) {
		kind := "application/json"
		if events {
			kind = "text/event-stream"
		}
		n := 0
		resp := &http.Response{Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(bytes.NewReader(body))}
		Meter(resp, func(tokens int64) {
			n++
			if tokens < 0 {
				t.Error(tokens)
			}
		})
		all, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if n != 1 || !bytes.Equal(all, body) {
			t.Errorf("told %d times", n)
		}
	})
}

func TestRefusal(t *testing.T) {
	for want, got := range map[string][]byte{
		`{"error":{"message":"m","type":"invalid_request_error","param":null,"code":"model_not_found"}}`: Refusal(Chat, fault.NotFound("m"), "r"),
		`{"error":{"message":"m","type":"invalid_request_error","param":null,"code":null}}`:              Refusal("/v1/nope", fault.New(CodeOperation, 404, "m"), "r"),
		`{"type":"error","error":{"type":"not_found_error","message":"m"},"request_id":"r"}`:             Refusal(Messages, fault.NotFound("m"), "r"),
		`{"error":{"message":"m","type":"api_error","param":null,"code":null}}`:                          Refusal(Responses, fault.New("X", 502, "m"), "r"),
	} {
		if string(got) != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func BenchmarkEdit(b *testing.B) {
	body := []byte(`{"messages":[{"role":"user","content":"` + strings.Repeat("x", 64<<10) + `"}],"model":"a","stream":true}`)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := edit(body, "other", true); err != nil {
			b.Fatal(err)
		}
	}
}

// lists is a provider that lists models, and counts how often it is asked.
type lists struct {
	asked int
	dead  bool
}

func (l *lists) RoundTrip(r *http.Request) (*http.Response, error) {
	l.asked++
	if l.dead || r.Context().Err() != nil {
		return nil, cmp.Or(r.Context().Err(), io.ErrUnexpectedEOF)
	}
	if r.URL.Path != Models || r.Header.Get("Anthropic-Version") == "" {
		return nil, fmt.Errorf("asked for %s", r.URL)
	}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"data":[{"id":"anthropic.claude-opus-4-7"},{"id":"openai.gpt-5.5"},{"id":""}]}`))}, nil
}

// TestNamesWithoutVendor are found in what the provider lists, at the path of their vendor.
func TestNamesWithoutVendor(t *testing.T) {
	web, now := &lists{}, time.Unix(0, 0)
	p, err := connector("bedrock-mantle", "eu-west-1")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{provider: p, link: passthrough.NewLink(&http.Client{Transport: web}, true), now: func() time.Time { return now }}
	for _, c := range [][3]string{{Messages, "claude-opus-4-7", "anthropic.claude-opus-4-7"}, {Chat, "gpt-5.5", "openai.gpt-5.5"}, {Chat, "claude-opus-4-7", ""}, {Chat, "other", ""}} {
		if name, _ := s.Match(t.Context(), target.Call{}, c[0], c[1]); name != c[2] {
			t.Errorf("%s at %s: %q, want %q", c[1], c[0], name, c[2])
		}
	}
	if now = now.Add(listLife); web.asked != 1 {
		t.Errorf("asked %d times", web.asked)
	}
	if _, fit := s.Match(t.Context(), target.Call{}, Chat, "gpt-5.5"); fit == None || web.asked != 2 {
		t.Errorf("after %s: %d, asked %d times", listLife, fit, web.asked)
	}
}

// TestDeadProvider is asked for its models by one caller, not by each; who leaves while it
// is asked says nothing of it.
func TestDeadProvider(t *testing.T) {
	web, now := &lists{}, time.Unix(0, 0)
	p, err := connector("bedrock-mantle", "eu-west-1")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{provider: p, link: passthrough.NewLink(&http.Client{Transport: web}, true), now: func() time.Time { return now }}
	left, leave := context.WithCancel(t.Context())
	leave()
	if _, err := s.Names(left, target.Call{}); err == nil {
		t.Error("who has left got a list")
	}
	if names, err := s.Names(t.Context(), target.Call{}); err != nil || len(names) != 2 {
		t.Errorf("after somebody left: %v %v", names, err)
	}
	web.dead, web.asked, now = true, 0, now.Add(listLife)
	for range 10 {
		if _, err := s.Names(t.Context(), target.Call{}); err == nil {
			t.Error("a dead provider has models")
		}
	}
	if web.asked != 1 {
		t.Errorf("asked %d times", web.asked)
	}
	web.dead, now = false, now.Add(listRest)
	if names, err := s.Names(t.Context(), target.Call{}); err != nil || len(names) != 2 {
		t.Errorf("when it is back: %v %v", names, err)
	}
}

// TestRoleOfConnector: only Amazon's provider is asked with a bare signature of the role.
func TestRoleOfConnector(t *testing.T) {
	for id, good := range map[string]bool{"bedrock-mantle": true, "openai": false, "anthropic": false} {
		c := &agentcorecontrol.TargetConfiguration{Inference: &agentcorecontrol.InferenceTargetConfiguration{Connector: &agentcorecontrol.InferenceConnectorTargetConfiguration{
			Source: &agentcorecontrol.InferenceConnectorSource{ConnectorId: &id}}}}
		kind := agentcorecontrol.CredentialProviderTypeGATEWAY_IAM_ROLE
		err := Driver{}.Check(c, &agentcorecontrol.CredentialProviderConfiguration{CredentialProviderType: &kind})
		if good != (err == nil) {
			t.Errorf("%s: %v", id, err)
		}
		kind = agentcorecontrol.CredentialProviderTypeAPI_KEY
		if err := (Driver{}).Check(c, &agentcorecontrol.CredentialProviderConfiguration{CredentialProviderType: &kind}); err != nil {
			t.Errorf("%s with a key: %v", id, err)
		}
	}
}
