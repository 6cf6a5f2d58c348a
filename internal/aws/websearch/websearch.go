// Package websearch is the front of AgentCore's Web Search, InvokeWebSearch, over the
// provider that the operator chose (internal/websearch). Gateways' connector web-search
// calls it as the gateway's role.
package websearch

import (
	"context"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/websearch"
)

// ID is the one tool that there is, as AWS names its own.
const ID = "web-search.v1"

// Searcher finds pages; internal/websearch's is one.
type Searcher interface {
	Search(ctx context.Context, q websearch.Query) ([]websearch.Result, error)
}

// Service implements agentcore.WebSearch.
type Service struct{ searcher Searcher }

var _ agentcore.WebSearch = (*Service)(nil)

// New returns a Service; nil is where the operator has configured no provider.
func New(searcher Searcher) *Service { return &Service{searcher} }

// InvokeWebSearch searches.
func (s *Service) InvokeWebSearch(ctx context.Context, in *agentcore.InvokeWebSearchInput) (*agentcore.InvokeWebSearchOutput, error) {
	if id := wire.Text(in.WebSearchId); id != ID {
		return nil, fault.NotFound("There is no web search tool '%s'; there is %s", id, ID)
	}
	if s.searcher == nil {
		return nil, fault.Denied("Web search is not available for this account. This server has no provider of it: have the operator configure one (webSearch in connectors.json, docs/targets.md)")
	}
	q := websearch.Query{Text: wire.Text(in.SearchQuery), Max: websearch.MaxResults}
	if in.MaxResults != nil {
		q.Max = int(*in.MaxResults)
	}
	if f := in.Filters; f != nil {
		if d := f.DomainFilter; d != nil {
			q.Include, q.Exclude = d.Include, d.Exclude
		}
		if p := f.PublishedDateFilter; p != nil {
			q.After, q.Before = at(p.PublishedAfter), at(p.PublishedBefore)
		}
	}
	if !q.After.IsZero() && !q.Before.IsZero() && q.Before.Before(q.After) {
		return nil, fault.Invalid("filters.publishedDateFilter", "filters.publishedDateFilter: publishedBefore is earlier than publishedAfter")
	}
	found, err := s.searcher.Search(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &agentcore.InvokeWebSearchOutput{Results: make([]agentcore.WebSearchResult, 0, len(found))}
	for _, r := range found {
		one := agentcore.WebSearchResult{Text: &r.Text, Url: wire.Optional(r.URL), Title: wire.Optional(r.Title)}
		if !r.Published.IsZero() {
			one.PublishedAt = &r.Published
		}
		out.Results = append(out.Results, one)
	}
	return out, nil
}

func at(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
