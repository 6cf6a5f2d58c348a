package llm_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/llm/llmtest"
)

// embedder is that of a configuration whose provider is a scripted server.
func embedder(t *testing.T, kind llm.Kind, url string, e llm.Embeddings) *llm.Embedder {
	t.Helper()
	p := llm.Provider{Type: kind, URL: url, APIKeyEnv: "KEY", TimeoutSeconds: new(5)}
	if kind == llm.Bedrock {
		p.Region = "us-east-1"
	}
	cfg := llm.Config{Providers: map[string]llm.Provider{"scripted": p}, Models: []llm.Mapping{{Pattern: "*", Provider: "scripted"}}, Embeddings: &e}
	m, err := llm.New(cfg, llm.Options{Getenv: func(string) string { return "sk-secret" }, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	out, ok := m.Embedder()
	if !ok || out.Model() != e.Model {
		t.Fatalf("%v %v", out, ok)
	}
	return out
}

// TestEmbedder asks each provider in its words for documents and for a query.
func TestEmbedder(t *testing.T) {
	for _, tt := range []struct {
		name  string
		kind  llm.Kind
		e     llm.Embeddings
		reply func(a llmtest.Ask) string
	}{
		{"openai", llm.OpenAI, llm.Embeddings{Model: "nomic-embed-text", QueryPrefix: "search_query: ", DocumentPrefix: "search_document: "}, func(a llmtest.Ask) string {
			if len(a.Members["input"].([]any)) == 1 {
				return `{"data":[{"index":0,"embedding":[9,9]}]}`
			}
			return `{"object":"list","model":"nomic-embed-text","data":[{"object":"embedding","index":1,"embedding":[3,4]},{"object":"embedding","index":0,"embedding":[1,2]}]}`
		}},
		{"titan", llm.Bedrock, llm.Embeddings{Model: "amazon.titan-embed-text-v2:0", Dimensions: 256}, func(a llmtest.Ask) string {
			return map[any]string{"<a> & b": `{"embedding":[1,2]}`, "天気": `{"embedding":[3,4]}`, "ask": `{"embedding":[9,9]}`}[a.Members["inputText"]]
		}},
		{"cohere", llm.Bedrock, llm.Embeddings{Model: "cohere.embed-multilingual-v3"}, func(a llmtest.Ask) string {
			if a.Members["input_type"] == "search_query" {
				return `{"embeddings":[[9,9]]}`
			}
			return `{"embeddings":[[1,2],[3,4]],"response_type":"embeddings_floats"}`
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := llmtest.Start(t, func(a llmtest.Ask) llmtest.Reply { return llmtest.Reply{Body: tt.reply(a)} })
			e := embedder(t, tt.kind, s.URL, tt.e)
			vectors, err := e.Documents(t.Context(), []string{"<a> & b", "天気"})
			if err != nil || fmt.Sprint(vectors) != "[[1 2] [3 4]]" {
				t.Errorf("%v %v", vectors, err)
			}
			query, err := e.Query(t.Context(), "ask")
			if err != nil || fmt.Sprint(query) != "[9 9]" {
				t.Errorf("%v %v", query, err)
			}
			var asked strings.Builder
			for _, a := range s.Asked() {
				fmt.Fprintf(&asked, "POST %s\nAuthorization: %s\n%s\n", a.Path, a.Header.Get("Authorization"), indented(t, a.Body))
			}
			golden(t, tt.name+"-embedding", asked.String())
			if got, err := e.Documents(t.Context(), nil); got != nil || err != nil {
				t.Errorf("nothing: %v %v", got, err)
			}
		})
	}
}

// TestEmbedderFails with a fault that has no key in it, and within bounds.
func TestEmbedderFails(t *testing.T) {
	for name, tt := range map[string]struct {
		reply llmtest.Reply
		code  string
	}{
		"refused key":  {llmtest.Reply{Status: http.StatusUnauthorized, Body: `{"error":{"message":"Incorrect API key: sk-secret"}}`}, "AccessDeniedException"},
		"no model":     {llmtest.Reply{Status: http.StatusNotFound, Body: `{"error":{"message":"model 'm' not found"}}`}, "ResourceNotFoundException"},
		"busy":         {llmtest.Reply{Status: http.StatusTooManyRequests}, "ThrottlingException"},
		"no JSON":      {llmtest.Reply{Body: `<html>`}, "ModelErrorException"},
		"no vector":    {llmtest.Reply{Body: `{"data":[]}`}, "ModelErrorException"},
		"empty vector": {llmtest.Reply{Body: `{"data":[{"index":0,"embedding":[]}]}`}, "ModelErrorException"},
		"too large":    {llmtest.Reply{Body: `{"data":[{"index":0,"embedding":[` + strings.Repeat("1,", 17<<20) + `1]}]}`}, "ModelErrorException"},
	} {
		t.Run(name, func(t *testing.T) {
			s := llmtest.Start(t, func(llmtest.Ask) llmtest.Reply { return tt.reply })
			_, err := embedder(t, llm.OpenAI, s.URL, llm.Embeddings{Model: "m"}).Query(t.Context(), "x")
			if !fault.Is(err, tt.code) || strings.Contains(err.Error(), "sk-secret") {
				t.Errorf("%v, want %s", err, tt.code)
			}
		})
	}
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) })
	s := llmtest.Start(t, func(llmtest.Ask) llmtest.Reply { return llmtest.Reply{Hold: hold} })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := embedder(t, llm.OpenAI, s.URL, llm.Embeddings{Model: "m"}).Query(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("out of time: %v", err)
	}
	none, err := llm.New(llm.Config{}, llm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if e, ok := none.Embedder(); ok {
		t.Errorf("%v", e)
	}
}
