// Package llm calls language models: which provider answers for which model id is
// configuration, and what is asked and answered is package chat's, whatever the
// provider speaks (DESIGN 8, docs/models.md).
//
// It keeps no state and knows no wire of ours: the front of Bedrock's runtime, and
// later memory, evaluation and tool search, call it alike.
package llm

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/llm/chat"
	"github.com/outcrop/outcrop/internal/llm/converse"
	"github.com/outcrop/outcrop/internal/llm/upstream"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/settings"
)

// Options are what a server gives its models. Now is required.
type Options struct {
	// Getenv reads the variables that apiKeyEnv names; nil knows none.
	Getenv func(name string) string
	// ReadFile reads the files that apiKeyFile names; nil knows none.
	ReadFile func(path string) ([]byte, error)
	// AWS gives the credentials of a profile of the operator's, of the default where it is empty.
	AWS func(profile string) aws.CredentialsProvider
	// Proxy says what to go through; nil is nothing.
	Proxy func(*http.Request) (*url.URL, error)
	Now   func() time.Time
}

// Models are the models of a configuration. The zero value has none.
type Models struct {
	providers map[string]*provider
	config    Config
	now       func() time.Time
}

// provider is one that can be called.
type provider struct {
	*upstream.Client
	kind Kind
	// completion is set where the bound of an answer has OpenAI's newer name.
	completion bool
}

// New makes the models of a configuration that ParseConfig has checked. The error
// names the member whose key is not there.
func New(cfg Config, opt Options) (*Models, error) {
	m := &Models{providers: map[string]*provider{}, config: cfg, now: opt.Now}
	var errs []error
	for name, c := range cfg.Providers {
		p, err := newProvider(name, &c, opt)
		if err != nil {
			errs = append(errs, fmt.Errorf("providers.%s.%w", name, err))
			continue
		}
		m.providers[name] = p
	}
	return m, errors.Join(errs...)
}

// Close closes connections that nobody uses.
func (m *Models) Close() {
	for _, p := range m.providers {
		p.Close()
	}
}

func newProvider(name string, c *Provider, opt Options) (*provider, error) {
	key, err := settings.Key{APIKeyEnv: c.APIKeyEnv, APIKeyFile: c.APIKeyFile}.Read(settings.Host{Getenv: opt.Getenv, ReadFile: opt.ReadFile})
	if err != nil {
		return nil, err
	}
	address := c.URL
	if address == "" {
		switch c.Type {
		case Anthropic:
			address = "https://api.anthropic.com"
		case Bedrock:
			address = "https://bedrock-runtime." + c.Region + ".amazonaws.com"
		}
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("url is no URL: %w", err)
	}
	cfg := upstream.Config{Name: name, URL: u, Timeout: c.timeout(), Idle: c.timeout(), Proxy: opt.Proxy, Sign: bearer(key)}
	switch {
	case c.Type == Anthropic:
		cfg.Sign = anthropicKey(key)
	case c.Type == Bedrock && key.Empty():
		if opt.AWS == nil {
			return nil, errors.New("profile cannot be read here")
		}
		cfg.Sign = converse.Sign(opt.AWS(c.Profile), c.Region, opt.Now)
	}
	return &provider{Client: upstream.New(cfg), kind: c.Type, completion: u.Hostname() == "api.openai.com"}, nil
}

func bearer(key secret.String) func(*http.Request, []byte) error {
	return func(r *http.Request, _ []byte) error {
		if !key.Empty() {
			r.Header.Set("Authorization", "Bearer "+key.Reveal())
		}
		return nil
	}
}

// Model is a model that answers for an id.
type Model struct {
	// ID is what the caller called it.
	ID string

	provider  *provider
	name      string // the provider's
	maxTokens *int
	now       func() time.Time
}

// Kind is what the model's provider speaks.
func (m *Model) Kind() Kind { return m.provider.kind }

// Name is what the model's provider calls it, or the id of an inference profile or ARN
// that is handed on.
func (m *Model) Name() string { return m.name }

// Find returns the model that answers for an id, an ARN or the id of an inference
// profile. The refusal says how to configure one.
func (m *Models) Find(id string) (*Model, error) {
	if c := m.config.mapping(id); c != nil {
		name := c.Model
		if name == "" {
			name = Base(id)
			if m.providers[c.Provider].kind == Bedrock {
				name = id // inference profiles are its own
			}
		}
		return &Model{ID: id, provider: m.providers[c.Provider], name: name, maxTokens: c.MaxTokens, now: m.now}, nil
	}
	if len(m.config.Models) == 0 {
		return nil, fault.NotFound("No model provider is configured on this server, so the model '%s' cannot be called. Its operator can name one "+
			"(Ollama, vLLM, OpenAI, Anthropic, Amazon Bedrock) in models.json of the data directory or with outcrop serve --models FILE (docs/models.md)", clip(id))
	}
	return nil, fault.NotFound("No pattern of this server's model configuration matches the model '%s'. Its operator can add one to "+
		"\"models\", such as {\"pattern\": \"*\", ...} for all others (docs/models.md)", clip(id))
}

func clip(id string) string { return fault.Clip(id, 256) }

// Answer is Stream's, collected.
func (m *Model) Answer(ctx context.Context, req *chat.Request) (*chat.Response, error) {
	events, err := m.Stream(ctx, req)
	if err != nil {
		return nil, err
	}
	return chat.Collect(events)
}

// Stream asks for an answer and returns it as it comes. The events are to be ranged
// over once; leaving the loop, or the end of ctx, ends the request to the provider.
func (m *Model) Stream(ctx context.Context, req *chat.Request) (iter.Seq2[chat.Event, error], error) {
	if req.MaxTokens == nil && m.maxTokens != nil {
		bounded := *req
		bounded.MaxTokens = m.maxTokens
		req = &bounded
	}
	call, decode, err := m.dialect().stream(m, req)
	if err != nil {
		return nil, err
	}
	begun := m.now()
	body, err := m.provider.Stream(ctx, call)
	if err != nil {
		return nil, err
	}
	return func(yield func(chat.Event, error) bool) {
		defer body.Close()
		for e, err := range decode(body) {
			if e.Kind == chat.Finished {
				e.Latency = m.now().Sub(begun)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}, nil
}
