package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/search"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/gateway/tool"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/work"
)

// BenchmarkView is what each call asks first, of a gateway with ten targets of a hundred
// tools: one that has not changed, and one whose rate limit has.
func BenchmarkView(b *testing.B) {
	st, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "db"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	offer := &driver{answer: func(target.Source) (c target.Catalogue, _ error) {
		for i := range 100 {
			c.Tools = append(c.Tools, tool.Tool{Name: fmt.Sprint("tool-", i), Description: "What it does", InputSchema: json.RawMessage(`{"type":"object"}`)})
		}
		return c, nil
	}}
	s := gateway.New(gateway.Config{
		Store: st, Box: secrettest.Box(b), Keys: &keys{}, Roles: roles{&kit{}}, Drivers: map[target.Kind]target.Driver{agentcorecontrol.TargetTypeLAMBDA: offer},
		Vectors: search.NewVectors(search.Config{Now: time.Now}), Base: func() string { return "http://127.0.0.1:8642" },
	})
	ctx, stop := context.WithCancel(pipeline.WithCall(b.Context(), &pipeline.Call{Scope: scope, Principal: auth.Principal{Kind: auth.Root, Account: account, ARN: auth.RootARN(account)}}))
	ended := make(chan error, 1)
	runner := work.New(st, work.Options{Owner: store.Owner{Node: "n", Process: "1"}})
	for kind, h := range s.Handlers() {
		if err := runner.Register(kind, h, work.Policy{}); err != nil {
			b.Fatal(err)
		}
	}
	go func() { ended <- runner.Run(ctx) }()
	defer func() {
		stop()
		<-ended
		_ = s.Close()
		_ = st.Close()
	}()
	until := func(is func() bool) {
		for changed := s.Changed(); !is(); changed = s.Changed() {
			<-changed
		}
	}
	made, err := s.CreateGateway(ctx, gatewayRequest("G"))
	if err != nil {
		b.Fatal(err)
	}
	view := func() *gateway.View {
		v, _ := s.View(ctx, *made.GatewayId)
		return v
	}
	until(func() bool { return view() != nil })
	for i := range 10 {
		if _, err := s.CreateGatewayTarget(ctx, &agentcorecontrol.CreateGatewayTargetRequest{GatewayIdentifier: made.GatewayId, Name: new(fmt.Sprint("T", i)), TargetConfiguration: lambda("a")}); err != nil {
			b.Fatal(err)
		}
		until(func() bool { return len(view().Targets) == i+1 })
	}
	b.Run("unchanged", func(b *testing.B) {
		for b.Loop() {
			view()
		}
	})
	limit := &agentcorecontrol.CreateGatewayRateLimitRequest{GatewayIdentifier: made.GatewayId, RateLimitId: new("rl"), DimensionKeys: []string{"toolName"}, Entries: []agentcorecontrol.LimitEntry{entry("x")}}
	if _, err := s.CreateGatewayRateLimit(ctx, limit); err != nil {
		b.Fatal(err)
	}
	b.Run("changed", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.UpdateGatewayRateLimit(ctx, &agentcorecontrol.UpdateGatewayRateLimitRequest{GatewayIdentifier: made.GatewayId, RateLimitId: new("rl"), Entries: limit.Entries}); err != nil {
				b.Fatal(err)
			}
			view()
		}
	})
}
