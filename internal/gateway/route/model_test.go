package route_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	model "github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/inference"
	"github.com/outcrop/outcrop/internal/gateway/passthrough"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// more adds the driver of providers.
func (k *kit) more(c passthrough.Config) {
	k.drive[inference.Kind] = inference.Driver{Config: c, Now: time.Now}
}

// serves adds a target that is a provider of models at some paths.
func (k *kit) serves(name, endpoint string, strip bool, models []string, paths ...string) {
	k.t.Helper()
	c := &model.InferenceProviderTargetConfiguration{Endpoint: &endpoint, ModelMapping: &model.ModelMapping{ProviderPrefix: &model.ProviderPrefix{Strip: &strip}}}
	for _, path := range paths {
		o := model.InferenceOperationConfiguration{Path: p(path), ProviderPath: p("/api" + path)}
		for _, m := range models {
			o.Models = append(o.Models, model.ModelEntry{Model: p(m)})
		}
		c.Operations = append(c.Operations, o)
	}
	k.open(inference.Kind, name, &model.TargetConfiguration{Inference: &model.InferenceTargetConfiguration{Provider: c}}, nil)
}

// echo is a provider that says what it was asked.
func echo(t *testing.T) string {
	return upstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, "%s %s %s %s", r.URL.Path, body, r.Header.Get("Anthropic-Version"), r.Header.Get("Authorization"))
	})
}

func TestModels(t *testing.T) {
	k := newKit(t)
	k.shows = "Bearer provider"
	at := echo(t)
	k.serves("glob", at+"/g", false, []string{"gpt-*"}, inference.Chat, inference.Messages)
	k.serves("exact", at+"/e", false, []string{"gpt-5"}, inference.Chat)
	k.serves("mapped", at+"/m", true, []string{"anthropic.claude-opus-4-7"}, inference.Messages)
	for _, c := range []struct {
		path, in string
		status   int
		want     string
	}{
		{"chat/completions", `{"a":1,"model":"gpt-5","z":2}`, 200, `/e/api/v1/chat/completions {"a":1,"model":"gpt-5","z":2}  Bearer provider`},
		{"chat/completions", `{"model":"gpt-4"}`, 200, `/g/api/v1/chat/completions {"model":"gpt-4"}  Bearer provider`},
		{"chat/completions", `{"model":"glob/gpt-5"}`, 200, `/g/api/v1/chat/completions {"model":"gpt-5"}  Bearer provider`},
		{"messages", `{"model":"claude-opus-4-7"}`, 200, `/m/api/v1/messages {"model":"anthropic.claude-opus-4-7"} 2023-06-01 Bearer provider`},
		{"chat/completions", `{"model":"claude-opus-4-7"}`, 404, `{"error":{"message":"Model 'claude-opus-4-7' is not served at /inference/v1/chat/completions. It is at POST /inference/v1/messages","type":"invalid_request_error","param":null,"code":null}}`},
		{"chat/completions", `{"model":"claude"}`, 404, `{"error":{"message":"Model 'claude' not found on any target.","type":"invalid_request_error","param":null,"code":"model_not_found"}}`},
		{"messages", `{"model":"exact/gpt-5"}`, 404, `{"type":"error","error":{"type":"not_found_error","message":"Model 'exact/gpt-5' is not served at /inference/v1/messages. It is at POST /inference/v1/chat/completions"},"request_id":"request-1"}`},
		{"nope", `{"model":"gpt-5"}`, 404, `{"error":{"message":"No target serves the path /inference/v1/nope. Those that are served: POST /inference/v1/chat/completions, POST /inference/v1/messages, GET /inference/v1/models","type":"invalid_request_error","param":null,"code":null}}`},
		{"chat/completions", `{"model":`, 400, `{"error":{"message":"The request is not JSON: unexpected EOF","type":"invalid_request_error","param":null,"code":null}}`},
		{"messages", `{}`, 400, `{"type":"error","error":{"type":"invalid_request_error","message":"The request names no model. Give \"model\""},"request_id":"request-1"}`},
	} {
		status, h, body := k.ask("POST", "/inference/v1/"+c.path, http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer caller"}}, strings.NewReader(c.in))
		if status != c.status || body != c.want || h.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %d %v\n%s, want\n%s", c.path, c.in, status, h, body, c.want)
		}
	}
}

// TestModelElsewhere: a target without models has those that are asked for by its name.
func TestModelElsewhere(t *testing.T) {
	k := newKit(t)
	k.serves("local", echo(t), false, nil, inference.Chat)
	k.serves("other", echo(t), false, []string{"e"}, "/v1/embeddings")
	for name, want := range map[string]string{
		"local/qwen3": "Model 'local/qwen3' is not served at /inference/v1/embeddings. It is at POST /inference/v1/chat/completions",
		"qwen3":       "Model 'qwen3' not found on any target.",
	} {
		status, _, body := k.ask("POST", "/inference/v1/embeddings", nil, strings.NewReader(`{"model":"`+name+`"}`))
		if status != 404 || !strings.Contains(body, `"message":"`+want+`"`) {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}

// TestAllOperations: a provider without operations has those that clients of its kind call.
func TestAllOperations(t *testing.T) {
	k := newKit(t)
	k.serves("any", echo(t), false, nil)
	for _, path := range []string{"chat/completions", "responses", "messages", "messages/count_tokens"} {
		status, _, body := k.ask("POST", "/inference/v1/"+path, nil, strings.NewReader(`{"model":"m"}`))
		if status != 200 || !strings.HasPrefix(body, "/v1/"+path+` {"model":"m"}`) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

func TestListOfModels(t *testing.T) {
	k := newKit(t)
	n := 0
	at := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		n++
		fmt.Fprint(w, `{"data":[{"id":"b"},{"id":"c"}]}`)
	})
	k.serves("one", at, false, []string{"a", "b", "x-*"}, inference.Chat)
	k.serves("two", at, false, nil, inference.Chat, inference.Models)
	for range 2 {
		_, _, body := k.ask("GET", "/inference/v1/models", nil, nil)
		for _, want := range []string{`"object":"list"`, `"id":"a","object":"model","created":0,"owned_by":"one"`, `"id":"one/b"`, `"id":"two/b"`, `"id":"c"`, `"has_more":false,"first_id":"a","last_id":"c"`} {
			if !strings.Contains(body, want) {
				t.Errorf("no %s in %s", want, body)
			}
		}
	}
	if n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
}

func TestRoundRobin(t *testing.T) {
	k := newKit(t)
	at := echo(t)
	k.serves("one", at+"/1", false, []string{"m"}, inference.Chat)
	k.serves("two", at+"/2", false, []string{"m"}, inference.Chat)
	seen := map[string]int{}
	for range 10 {
		_, _, body := k.ask("POST", "/inference/v1/chat/completions", nil, strings.NewReader(`{"model":"m"}`))
		seen[body[:2]]++
	}
	if seen["/1"] != 5 || seen["/2"] != 5 {
		t.Error(seen)
	}
}

func TestModelFallback(t *testing.T) {
	k := newKit(t)
	k.serves("full", upstream(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }), false, []string{"big"}, inference.Chat)
	k.serves("free", echo(t), false, []string{"small"}, inference.Chat)
	k.view.Rules = []gateway.Rule{{RuleId: p("r"), Priority: p(int32(1)),
		Conditions: []model.Condition{{MatchModels: &model.MatchModels{AnyOf: []model.MatchModelEntry{{Value: p("b*")}}}}},
		Actions: []model.Action{{RouteToTarget: &model.RouteToTargetAction{StaticRoute: &model.StaticRoute{TargetName: p("full"), Model: p("big"),
			Fallback: &model.Fallback{TargetFallback: []model.FallbackTarget{{TargetName: p("free"), Model: p("none")}, {TargetName: p("free"), Model: p("small")}}}}}}}}}
	// The rule makes a name of its own, too: best.
	for _, name := range []string{"big", "best"} {
		status, _, body := k.ask("POST", "/inference/v1/chat/completions", nil, strings.NewReader(`{"model":"`+name+`","n":1}`))
		if want := `/api/v1/chat/completions {"model":"small","n":1}  `; status != 200 || body != want {
			t.Errorf("%s: %d %q", name, status, body)
		}
	}
	if status, _, _ := k.ask("POST", "/inference/v1/chat/completions", nil, strings.NewReader(`{"model":"other"}`)); status != 404 {
		t.Error(status)
	}
}

// TestTokens limits tokens by what streams say they used.
func TestTokens(t *testing.T) {
	k := newKit(t)
	var asked string
	k.serves("m", upstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = string(body)
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: {\"choices\":[{}]}\n\ndata: {\"choices\":[],\"usage\":{\"total_tokens\":100}}\n\ndata: [DONE]\n\n")
	}), false, []string{"x"}, inference.Chat, inference.Messages)
	k.view.Limits = []gateway.Limit{{RateLimitId: p("tpm"), DimensionKeys: []string{"qualifiedModelId"}, Entries: []model.LimitEntry{{
		Dimensions: map[string]string{"qualifiedModelId": "*"}, Tokens: []model.RateConfig{{Rate: p(60.0), Period: p("minute")}}}}}}
	status, _, body := k.ask("POST", "/inference/v1/chat/completions", nil, strings.NewReader(`{"model":"x","stream":true}`))
	if status != 200 || !strings.HasSuffix(body, "[DONE]\n\n") || asked != `{"model":"x","stream":true,"stream_options":{"include_usage":true}}` {
		t.Fatalf("%d %s; asked %s", status, body, asked)
	}
	status, h, body := k.ask("POST", "/inference/v1/chat/completions", nil, strings.NewReader(`{"model":"x","stream":true}`))
	if status != 429 || h.Get("Retry-After") == "" || !strings.Contains(body, `"type":"rate_limit_error"`) || !strings.Contains(body, `"limitKey":"tpm/qualifiedModelId=x"`) {
		t.Errorf("%d %v %s", status, h, body)
	}
	if _, _, body := k.ask("POST", "/inference/v1/messages", nil, strings.NewReader(`{"model":"x"}`)); !strings.HasPrefix(body, `{"type":"error","error":{"type":"rate_limit_error"`) {
		t.Error(body)
	}
}

// TestLimitsOfModels gives models that no target has one allowance together, and has no
// provider asked for who may not call.
func TestLimitsOfModels(t *testing.T) {
	k := newKit(t)
	k.serves("m", echo(t), false, []string{"x"}, inference.Chat)
	k.view.Limits = []gateway.Limit{limit("l", []string{"qualifiedModelId"}, map[string]string{"qualifiedModelId": "*"}, 1)}
	for _, c := range []struct {
		model, want string
		status      int
	}{{"made-up-1", "not found", 404}, {"made-up-2", "l/qualifiedModelId=*", 429}, {strings.Repeat("long", 1000), "l/qualifiedModelId=*", 429}, {"x", "x", 200}, {"x", "l/qualifiedModelId=x", 429}} {
		if status, _, body := k.ask("POST", "/inference/v1/chat/completions", nil, strings.NewReader(`{"model":"`+c.model+`"}`)); status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%.20s: %d %.200s, want %d %s", c.model, status, body, c.status, c.want)
		}
	}
}

var _ target.Web = (*inference.Server)(nil)
