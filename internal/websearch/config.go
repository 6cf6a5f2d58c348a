package websearch

import (
	"maps"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/settings"
)

// Config says who is asked.
type Config struct {
	// Type is what the provider speaks.
	Type string `json:"type"`
	// URL is what "/search" (searxng, tavily) or "/res/v1/web/search" (brave) follows.
	URL string `json:"url"`
	settings.Key
	// TimeoutSeconds bounds a search, 15 by default.
	TimeoutSeconds *int `json:"timeoutSeconds"`
	// SearchesPerSecond is how many may begin, DefaultRate by default.
	SearchesPerSecond *float64 `json:"searchesPerSecond"`
}

// The bounds of a configuration.
const (
	maxTimeout = 300 // seconds
	maxRate    = 1000
	minRate    = 0.01
)

// Check adds what is wrong.
func (c *Config) Check(field string, p *settings.Problems) {
	e, ok := engines()[c.Type]
	types := strings.Join(slices.Sorted(maps.Keys(engines())), ", ")
	switch {
	case c.Type == "":
		p.Add(field+".type", "is missing: one of %s", types)
	case !ok:
		p.Add(field+".type", "is '%s'; it must be one of %s", c.Type, types)
	case e.url == "" && c.URL == "":
		p.Add(field+".url", "is missing, such as %s", e.example)
	case e.keyed && !c.Given():
		p.Add(field, "needs apiKeyEnv or apiKeyFile")
	}
	if c.URL != "" {
		settings.CheckURL(field+".url", c.URL, p)
	}
	c.Key.Check(field, p)
	if t := c.TimeoutSeconds; t != nil && (*t < 1 || *t > maxTimeout) {
		p.Add(field+".timeoutSeconds", "is %d; it must be between 1 and %d", *t, maxTimeout)
	}
	if r := c.SearchesPerSecond; r != nil && !(*r >= minRate && *r <= maxRate) {
		p.Add(field+".searchesPerSecond", "is %g; it must be between %g and %d", *r, minRate, maxRate)
	}
}
