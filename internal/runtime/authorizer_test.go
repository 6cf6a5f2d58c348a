package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/runtime/runtimetest"
	"github.com/outcrop/outcrop/internal/store"
)

// issuers knows no issuer, or all.
type issuers struct {
	there bool
	asked chan string
}

func (i issuers) Issuer(_ context.Context, discoveryURL string) (string, error) {
	i.asked <- discoveryURL
	if i.there {
		return "https://issuer.example", nil
	}
	return "", fmt.Errorf("find issuer of %s: %w", discoveryURL, errors.New("connection refused"))
}

// TestIssuerIsLookedFor once, when a version is READY, and its log says where it is not.
func TestIssuerIsLookedFor(t *testing.T) {
	for name, there := range map[string]bool{"there": true, "not yet": false} {
		t.Run(name, func(t *testing.T) {
			const at = "https://issuer.example/.well-known/openid-configuration"
			asked := make(chan string, 2)
			k := newKit(t, runtimetest.Options{Issuers: issuers{there, asked}})
			in := create("guarded")
			in.AuthorizerConfiguration = authorizer(types.CustomJWTAuthorizerConfiguration{AllowedClients: []string{"c"}})
			out, err := k.Control.CreateAgentRuntime(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if got := <-asked; got != at {
				t.Errorf("asked for %s, want %s", got, at)
			}
			for !there && !strings.Contains(strings.Join(k.Logs(runtime.LogGroup(*out.AgentRuntimeId, runtime.DefaultEndpoint)), "\n"), at+", is not there yet: connection refused. ") {
				k.wait(k.Store.Changed(store.WorkTopic))
			}
			if k.settled(*out.AgentRuntimeId); len(asked) > 0 {
				t.Error("asked twice")
			}
		})
	}
}
