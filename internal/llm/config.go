package llm

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/settings"
)

// Kind is what a provider speaks.
type Kind string

// The kinds of providers.
const (
	OpenAI    Kind = "openai"
	Anthropic Kind = "anthropic"
	Bedrock   Kind = "bedrock"
)

// Config says which models there are (docs/models.md). The zero value has none.
type Config struct {
	// Providers are by name.
	Providers map[string]Provider `json:"providers"`
	// Models say which provider answers for which ids; the first that matches counts.
	Models []Mapping `json:"models"`
	// Embeddings, if set, names the model with whose help things are found by what they mean.
	Embeddings *Embeddings `json:"embeddings"`
}

// Provider is where models answer.
type Provider struct {
	Type Kind `json:"type"`
	// URL is what "/chat/completions" (openai) or "/v1/messages" (anthropic) follows.
	URL string `json:"url"`
	// APIKeyEnv names a variable of the server's environment, APIKeyFile a file that
	// holds the key; Bedrock takes one in place of AWS credentials.
	APIKeyEnv  string `json:"apiKeyEnv"`
	APIKeyFile string `json:"apiKeyFile"`
	// Region and Profile are Bedrock's: where to call it, and whose credentials of
	// the operator's AWS configuration to sign with.
	Region  string `json:"region"`
	Profile string `json:"profile"`
	// TimeoutSeconds bounds the wait for an answer to begin, and for each piece of it.
	TimeoutSeconds *int `json:"timeoutSeconds"`
}

// Embeddings say how texts become vectors.
type Embeddings struct {
	// Model is an id that Models give a provider.
	Model string `json:"model"`
	// Dimensions is how long vectors should be; 0 leaves it to the model.
	Dimensions int `json:"dimensions"`
	// QueryPrefix and DocumentPrefix stand before what is asked and what is found, of models
	// that were trained so.
	QueryPrefix    string `json:"queryPrefix"`
	DocumentPrefix string `json:"documentPrefix"`
}

// Mapping gives ids a model.
type Mapping struct {
	// Pattern is an id as callers write it, in which * stands for anything.
	Pattern  string `json:"pattern"`
	Provider string `json:"provider"`
	// Model is the provider's own name for it; empty is the id as callers write it.
	Model string `json:"model"`
	// MaxTokens bounds answers whose callers do not say how long they may be.
	MaxTokens *int `json:"maxTokens"`
}

// The bounds of a configuration.
const (
	defaultTimeout = 5 * time.Minute
	maxTimeout     = 3600 // seconds
)

// timeout is how long the provider may take.
func (p *Provider) timeout() time.Duration {
	if p.TimeoutSeconds == nil {
		return defaultTimeout
	}
	return time.Duration(*p.TimeoutSeconds) * time.Second
}

// ParseConfig reads the JSON of a configuration and checks it. Errors name the
// member that is wrong, all of them at once.
func ParseConfig(data []byte) (Config, error) {
	var c Config
	if err := settings.Decode(data, &c); err != nil {
		return c, err
	}
	return c, c.check()
}

var (
	providerName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]{0,47}$`)
	regionName   = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+)+-\d{1,2}$`)
)

func (c *Config) check() error {
	var p settings.Problems
	names := make([]string, 0, len(c.Providers))
	for name := range c.Providers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		provider := c.Providers[name]
		if !providerName.MatchString(name) {
			p.Add("providers."+name, "is no name: a letter, then letters, digits, - and _, 48 at most")
		}
		provider.check("providers."+name, &p)
	}
	for i, m := range c.Models {
		field := fmt.Sprintf("models[%d]", i)
		if m.Pattern == "" {
			p.Add(field+".pattern", "is missing; '*' is every id")
		}
		if _, ok := c.Providers[m.Provider]; !ok {
			p.Add(field+".provider", "is '%s', which providers does not have", m.Provider)
		}
		if m.MaxTokens != nil && *m.MaxTokens < 1 {
			p.Add(field+".maxTokens", "is %d; it must be at least 1", *m.MaxTokens)
		}
	}
	if c.Embeddings != nil {
		c.checkEmbeddings(&p)
	}
	return p.Err()
}

// The bounds of embeddings: Titan's own bound of dimensions, which the front of Bedrock's
// runtime has, too, and that of a prefix in bytes.
const (
	maxDimensions = 1 << 14
	maxPrefix     = 1 << 10
)

func (c *Config) checkEmbeddings(p *settings.Problems) {
	e := c.Embeddings
	if e.Dimensions < 0 || e.Dimensions > maxDimensions {
		p.Add("embeddings.dimensions", "is %d; it must be between 1 and %d, or left out", e.Dimensions, maxDimensions)
	}
	for name, prefix := range map[string]string{"queryPrefix": e.QueryPrefix, "documentPrefix": e.DocumentPrefix} {
		if len(prefix) > maxPrefix {
			p.Add("embeddings."+name, "is longer than %d bytes", maxPrefix)
		}
	}
	if e.Model == "" {
		p.Add("embeddings.model", "is missing: an id that a pattern of models matches")
		return
	}
	m := c.mapping(e.Model)
	if m == nil {
		p.Add("embeddings.model", "is '%s', which no pattern of models matches", e.Model)
		return
	}
	if c.Providers[m.Provider].Type == Anthropic {
		p.Add("embeddings.model", "is '%s', whose provider '%s' is of type anthropic, which has no embeddings", e.Model, m.Provider)
	}
}

// mapping is the first that matches an id; nil is none.
func (c *Config) mapping(id string) *Mapping {
	base := Base(id)
	for i := range c.Models {
		if c.Models[i].names(id, base) {
			return &c.Models[i]
		}
	}
	return nil
}

func (c *Provider) check(field string, p *settings.Problems) {
	switch c.Type {
	case OpenAI:
		if c.URL == "" {
			p.Add(field+".url", "is missing, such as http://127.0.0.1:11434/v1 for Ollama")
		}
	case Bedrock:
		if !regionName.MatchString(c.Region) {
			p.Add(field+".region", "must be a region of AWS's, such as us-east-1")
		}
	case Anthropic:
		if c.APIKeyEnv == "" && c.APIKeyFile == "" {
			p.Add(field, "needs apiKeyEnv or apiKeyFile")
		}
	case "":
		p.Add(field+".type", "is missing: openai (and what is compatible), anthropic or bedrock")
	default:
		p.Add(field+".type", "is '%s'; it must be openai, anthropic or bedrock", c.Type)
	}
	if c.Type != Bedrock && (c.Region != "" || c.Profile != "") {
		p.Add(field, "has region or profile, which only type bedrock has")
	}
	if c.URL != "" {
		settings.CheckURL(field+".url", c.URL, p)
	}
	settings.Key{APIKeyEnv: c.APIKeyEnv, APIKeyFile: c.APIKeyFile}.Check(field, p)
	if c.Profile != "" && (c.APIKeyEnv != "" || c.APIKeyFile != "") {
		p.Add(field, "has a profile and a key; one is enough")
	}
	if t := c.TimeoutSeconds; t != nil && (*t < 1 || *t > maxTimeout) {
		p.Add(field+".timeoutSeconds", "is %d; it must be between 1 and %d", *t, maxTimeout)
	}
}
