package llm_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/settings"
)

// TestConfig names what is wrong, all of it.
func TestConfig(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{`{}`, ""},
		{`{"providers":{"local":{"type":"openai","url":"http://127.0.0.1:11434/v1","timeoutSeconds":60},"c":{"type":"anthropic","apiKeyEnv":"ANTHROPIC_API_KEY"},
		   "aws":{"type":"bedrock","region":"us-east-1","profile":"work"}},
		   "models":[{"pattern":"anthropic.*","provider":"c","model":"claude","maxTokens":9},{"pattern":"*","provider":"local"}]}`, ""},
		{`{`, "it is not JSON"},
		{"{\n\"models\":[}", "line 2"},
		{`{} {}`, "something after its JSON object"},
		{`{"models":{}}`, "models must not be a object"},
		{`{"provider":{}}`, `a member "provider", which is unknown`},
		{`{"providers":{"a":{"type":"openai","url":"http://x","apiKey":"sk-1"}}}`, "apiKeyEnv (a variable of the server's environment) or apiKeyFile"},
		{`{"providers":{"a b":{"type":"openai","url":"http://x"}}}`, "providers.a b is no name"},
		{`{"providers":{"a":{"url":"http://x"}}}`, "providers.a.type is missing"},
		{`{"providers":{"a":{"type":"gemini"}}}`, "providers.a.type is 'gemini'; it must be openai, anthropic or bedrock"},
		{`{"providers":{"a":{"type":"openai"}}}`, "providers.a.url is missing, such as http://127.0.0.1:11434/v1"},
		{`{"providers":{"a":{"type":"openai","url":"file:///etc/passwd"}}}`, "providers.a.url must be an http or https URL"},
		{`{"providers":{"a":{"type":"openai","url":"http://u:p@x"}}}`, "providers.a.url must have neither credentials"},
		{`{"providers":{"a":{"type":"anthropic"}}}`, "providers.a needs apiKeyEnv or apiKeyFile"},
		{`{"providers":{"a":{"type":"anthropic","apiKeyEnv":"sk-ant-1"}}}`, "providers.a.apiKeyEnv must be the name of a variable, not a key"},
		{`{"providers":{"a":{"type":"anthropic","apiKeyEnv":"A","apiKeyFile":"b"}}}`, "one is enough"},
		{`{"providers":{"a":{"type":"bedrock"}}}`, "providers.a.region must be a region"},
		{`{"providers":{"a":{"type":"bedrock","region":"us-east-1","profile":"p","apiKeyEnv":"A"}}}`, "has a profile and a key"},
		{`{"providers":{"a":{"type":"openai","url":"http://x","region":"us-east-1"}}}`, "which only type bedrock has"},
		{`{"providers":{"a":{"type":"openai","url":"http://x","timeoutSeconds":0}}}`, "providers.a.timeoutSeconds is 0; it must be between 1 and 3600"},
		{`{"models":[{"pattern":"*","provider":"nobody"}]}`, "models[0].provider is 'nobody', which providers does not have"},
		{`{"providers":{"a":{"type":"openai","url":"http://x"}},"models":[{"provider":"a","maxTokens":0}]}`, "models[0].pattern is missing; '*' is every id\nmodels[0].maxTokens is 0"},
		{`{"embeddings":{"model":"e"}}`, "embeddings.model is 'e', which no pattern of models matches"},
		{`{"embeddings":{"dimensions":-1}}`, "embeddings.dimensions is -1; it must be between 1 and 16384, or left out\nembeddings.model is missing"},
		{`{"embeddings":{"model":"m","apiKey":"sk-1"}}`, "apiKeyEnv (a variable of the server's environment) or apiKeyFile"},
		{`{"providers":{"a":{"type":"openai","url":"http://x"}},"models":[{"pattern":"*","provider":"a"}],"embeddings":{"model":"m","dimensions":256,"queryPrefix":"query: "}}`, ""},
		{`{"providers":{"a":{"type":"openai","url":"http://x"}},"models":[{"pattern":"*","provider":"a"}],"embeddings":{"model":"m","documentPrefix":"` + strings.Repeat("x", 1025) + `"}}`, "embeddings.documentPrefix is longer than 1024 bytes"},
		{`{"providers":{"c":{"type":"anthropic","apiKeyEnv":"K"}},"models":[{"pattern":"*","provider":"c"}],"embeddings":{"model":"m"}}`, "whose provider 'c' is of type anthropic, which has no embeddings"},
		{strings.Repeat(" ", settings.MaxFile+1), "longer than 1024 KiB"},
	} {
		_, err := llm.ParseConfig([]byte(tt.text))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%.120s: %v, want %q", tt.text, err, tt.want)
		}
	}
}

// TestKeys come of variables and files that the server can read.
func TestKeys(t *testing.T) {
	for _, tt := range []struct {
		provider llm.Provider
		want     string
	}{
		{llm.Provider{Type: llm.Anthropic, APIKeyEnv: "NONE"}, "providers.p.apiKeyEnv: the variable NONE is not set where the server runs"},
		{llm.Provider{Type: llm.Anthropic, APIKeyFile: "/none"}, "providers.p.apiKeyFile: file does not exist"},
		{llm.Provider{Type: llm.Anthropic, APIKeyFile: "/empty"}, "providers.p.apiKeyFile: /empty is empty"},
		{llm.Provider{Type: llm.Anthropic, APIKeyFile: "/key"}, ""},
		{llm.Provider{Type: llm.OpenAI, URL: "http://127.0.0.1:1/v1"}, ""},
	} {
		m, err := llm.New(llm.Config{Providers: map[string]llm.Provider{"p": tt.provider}}, llm.Options{
			Getenv: func(string) string { return "" },
			ReadFile: func(path string) ([]byte, error) {
				switch path {
				case "/key":
					return []byte("sk-1\n"), nil
				case "/empty":
					return []byte("\n"), nil
				}
				return nil, fs.ErrNotExist
			},
		})
		m.Close()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || err.Error() != tt.want) {
			t.Errorf("%+v: %v, want %q", tt.provider, err, tt.want)
		}
	}
}

// TestFind: an id is matched as it is and without what is no part of the model's name.
func TestFind(t *testing.T) {
	for id, want := range map[string]string{
		"anthropic.claude-haiku-4-5-20251001-v1:0":                                                   "anthropic.claude-haiku-4-5-20251001-v1:0",
		"global.anthropic.claude-haiku-4-5-20251001-v1:0":                                            "anthropic.claude-haiku-4-5-20251001-v1:0",
		"us.amazon.nova-lite-v1:0":                                                                   "amazon.nova-lite-v1:0",
		"arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-embed-text-v2:0":                   "amazon.titan-embed-text-v2:0",
		"arn:aws:bedrock:us-east-1:111122223333:inference-profile/eu.meta.llama3-2-1b-instruct-v1:0": "meta.llama3-2-1b-instruct-v1:0",
		"arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abcdef123456":          "abcdef123456",
		"llama3.2:3b":          "llama3.2:3b",
		"us.local":             "us.local",
		"Qwen/Qwen2.5-7B":      "Qwen/Qwen2.5-7B",
		"arn:aws:bedrock:x::y": "y",
	} {
		if got := llm.Base(id); got != want {
			t.Errorf("Base(%s) = %s, want %s", id, got, want)
		}
	}
	cfg := llm.Config{
		Providers: map[string]llm.Provider{"a": {Type: llm.OpenAI, URL: "http://127.0.0.1:1"}, "b": {Type: llm.Anthropic, APIKeyEnv: "K"}},
		Models: []llm.Mapping{
			{Pattern: "us.anthropic.*", Provider: "a"}, {Pattern: "anthropic.*-haiku-*", Provider: "b"}, {Pattern: "meta.*", Provider: "a"},
			{Pattern: "*planted*", Provider: "a"}, {Pattern: "arn:*:inference-profile/mine", Provider: "b"},
		},
	}
	m, err := llm.New(cfg, llm.Options{Getenv: func(string) string { return "k" }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	for id, want := range map[string]llm.Kind{
		"global.anthropic.claude-haiku-4": llm.Anthropic, "us.anthropic.claude-haiku-4": llm.OpenAI, "meta.x": llm.OpenAI, "anthropic.claude-sonnet": "", "xmeta.x": "",
		"arn:aws:bedrock:r:111122223333:inference-profile/us.anthropic.x": llm.OpenAI, "arn:aws:bedrock:r::foundation-model/meta.x": llm.OpenAI,
		"arn:aws:bedrock:r:111122223333:inference-profile/mine": llm.Anthropic, "arn:aws:bedrock:planted::foundation-model/x": "", "arn:aws:bedrock:planted::foundation-model/anthropic.a-haiku-b": llm.Anthropic,
	} {
		got, err := m.Find(id)
		switch {
		case want == "" && (!fault.Is(err, "ResourceNotFoundException") || !strings.Contains(err.Error(), "No pattern")):
			t.Errorf("%s: %v", id, err)
		case want != "" && (err != nil || got.Kind() != want):
			t.Errorf("%s: %v %v", id, got, err)
		}
	}
	var f *fault.Error
	if _, err := new(llm.Models).Find("x"); !errors.As(err, &f) || f.Status != 404 || !strings.Contains(f.Message, "outcrop serve --models FILE (docs/models.md)") {
		t.Errorf("without a configuration: %v", err)
	}
}
