package connector

import (
	"maps"
	"regexp"
	"slices"

	"github.com/outcrop/outcrop/internal/settings"
)

// The types of connectors that operators register.
const (
	TypeMCP     = "mcp"
	TypeOpenAPI = "openapi"
	TypeHTTP    = "http"
)

// Config is one connector of the operator's.
type Config struct {
	Type string `json:"type"`
	// URL is where it is: an MCP server's endpoint, or what callers' paths follow.
	URL string `json:"url"`
	// Document is the file of an OpenAPI document, which says where its server is.
	Document string `json:"document"`
	// Header has the key; empty is Authorization with a bearer token.
	Header string `json:"header"`
	settings.Key
}

// ids are what connectors may be called; AWS's look so.
var ids = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// Check adds what is wrong with an operator's connectors.
func Check(all map[string]Config, field string, p *settings.Problems) {
	for _, id := range slices.Sorted(maps.Keys(all)) {
		c, at := all[id], field+"."+id
		switch {
		case id == WebSearch:
			p.Add(at, "is this server's own; webSearch says who is asked")
		case !ids.MatchString(id):
			p.Add(at, "is no id: a letter, then small letters, digits and -, 63 at most")
		}
		c.check(at, p)
	}
}

func (c *Config) check(at string, p *settings.Problems) {
	switch c.Type {
	case TypeMCP, TypeHTTP:
		if c.Document != "" {
			p.Add(at+".document", "is of type %s alone", TypeOpenAPI)
		}
		names, err := Placeholders(c.URL)
		switch {
		case c.URL == "":
			p.Add(at+".url", "is missing")
		case err != nil:
			p.Add(at+".url", "%s", err)
		case c.Type == TypeMCP && len(names) > 0:
			p.Add(at+".url", "has parameters, which only type %s has", TypeHTTP)
		default:
			settings.CheckURL(at+".url", placeholder.ReplaceAllString(c.URL, "x"), p)
		}
	case TypeOpenAPI:
		if c.URL != "" {
			p.Add(at+".url", "is not of type %s, whose document says where its server is", TypeOpenAPI)
		}
		if c.Document == "" {
			p.Add(at+".document", "is missing: the file of an OpenAPI document")
		}
	case "":
		p.Add(at+".type", "is missing: %s, %s or %s", TypeMCP, TypeOpenAPI, TypeHTTP)
	default:
		p.Add(at+".type", "is '%s'; it must be %s, %s or %s", c.Type, TypeMCP, TypeOpenAPI, TypeHTTP)
	}
	if c.Header != "" {
		if !headerName.MatchString(c.Header) {
			p.Add(at+".header", "is no name of a header")
		}
		if !c.Given() {
			p.Add(at+".header", "is for a key; name one by apiKeyEnv or apiKeyFile")
		}
	}
	c.Key.Check(at, p)
}

var headerName = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
