package websearch

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/websearch"
)

type searched struct{ asked string }

func (s *searched) Search(_ context.Context, q websearch.Query) ([]websearch.Result, error) {
	s.asked = fmt.Sprint(q.Text, q.Max, q.Include, q.Exclude, q.After.Year(), q.Before.Year())
	return []websearch.Result{{Text: "a", URL: "https://a.test/", Title: "A", Published: time.Unix(0, 0)}, {Text: "b"}}, nil
}

// TestInvokeWebSearch holds what is asked, what is answered and what is refused.
func TestInvokeWebSearch(t *testing.T) {
	early, late := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	in := func(change func(*agentcore.InvokeWebSearchInput)) *agentcore.InvokeWebSearchInput {
		out := &agentcore.InvokeWebSearchInput{WebSearchId: new(ID), SearchQuery: new("x")}
		change(out)
		return out
	}
	s := &searched{}
	out, err := New(s).InvokeWebSearch(t.Context(), in(func(r *agentcore.InvokeWebSearchInput) {
		r.MaxResults = new(int32(3))
		r.Filters = &agentcore.WebSearchFilters{DomainFilter: &agentcore.DomainFilter{Include: []string{"a"}, Exclude: []string{"b"}}, PublishedDateFilter: &agentcore.PublishedDateFilter{PublishedAfter: &early, PublishedBefore: &late}}
	}))
	if err != nil || s.asked != "x3 [a] [b] 2025 2026" {
		t.Error(s.asked, err)
	}
	if r := out.Results; len(r) != 2 || *r[0].Url != "https://a.test/" || *r[0].Title != "A" || r[0].PublishedAt == nil || r[1].Url != nil || r[1].PublishedAt != nil {
		t.Errorf("%+v", r)
	}
	if _, err := New(s).InvokeWebSearch(t.Context(), in(func(*agentcore.InvokeWebSearchInput) {})); err != nil || s.asked != "x25 [] [] 1 1" {
		t.Error(s.asked, err)
	}
	for code, call := range map[string]func() error{
		"ResourceNotFoundException": func() error {
			_, err := New(s).InvokeWebSearch(t.Context(), in(func(r *agentcore.InvokeWebSearchInput) { r.WebSearchId = new("other") }))
			return err
		},
		"AccessDeniedException": func() error {
			_, err := New(nil).InvokeWebSearch(t.Context(), in(func(*agentcore.InvokeWebSearchInput) {}))
			return err
		},
		"ValidationException": func() error {
			_, err := New(s).InvokeWebSearch(t.Context(), in(func(r *agentcore.InvokeWebSearchInput) {
				r.Filters = &agentcore.WebSearchFilters{PublishedDateFilter: &agentcore.PublishedDateFilter{PublishedAfter: &late, PublishedBefore: &early}}
			}))
			return err
		},
	} {
		if err := call(); !fault.Is(err, code) {
			t.Errorf("%v, want %s", err, code)
		}
	}
}
