package throttle_test

import (
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/api/throttle"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

func operation(t *testing.T, svc *schema.Service, name string) *schema.Operation {
	for i := range svc.Operations {
		if svc.Operations[i].Name == name {
			return &svc.Operations[i]
		}
	}
	t.Fatal(name)
	return nil
}

func TestRates(t *testing.T) {
	at := time.Unix(1e9, 0)
	svc := &agentcorecontrol.Service
	l := throttle.New(svc, throttle.Rates{Mutations: 3, Lists: 2}, func() time.Time { return at })
	here, there := store.Scope{Account: "1", Region: "a"}, store.Scope{Account: "1", Region: "b"}
	passed := func(scope store.Scope, name string) (n int) {
		for ; n < 100; n++ {
			if err := l.Allow(scope, svc, operation(t, svc, name)); err != nil {
				if !fault.Is(err, "ThrottlingException") {
					t.Error(err)
				}
				break
			}
		}
		return n
	}
	for _, want := range []struct {
		scope store.Scope
		name  string
		n     int
	}{
		{here, "CreateAgentRuntime", 3}, {here, "CreateAgentRuntime", 0}, {here, "DeleteAgentRuntime", 3}, {there, "CreateAgentRuntime", 3},
		{here, "ListAgentRuntimes", 2}, {here, "GetAgentRuntime", 100},
	} {
		if n := passed(want.scope, want.name); n != want.n {
			t.Errorf("%s in %s: %d, want %d", want.name, want.scope, n, want.n)
		}
	}
	at = at.Add(500 * time.Millisecond)
	if n := passed(here, "ListAgentRuntimes"); n != 1 {
		t.Errorf("after half a second: %d lists", n)
	}
	at = at.Add(time.Hour)
	if n := passed(here, "ListAgentRuntimes"); n != 2 {
		t.Errorf("after an hour: %d lists", n)
	}
	for range 100 {
		if err := l.Allow(here, &agentcore.Service, operation(t, &agentcore.Service, "InvokeAgentRuntime")); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkAllow(b *testing.B) {
	svc := &agentcorecontrol.Service
	l := throttle.New(svc, throttle.Rates{Mutations: 1 << 40}, time.Now)
	scope := store.Scope{Account: "1", Region: "a"}
	for b.Loop() {
		if err := l.Allow(scope, svc, &svc.Operations[0]); err != nil {
			b.Fatal(err)
		}
	}
}
