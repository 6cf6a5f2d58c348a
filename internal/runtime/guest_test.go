package runtime

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"testing"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
)

func TestRoleSession(t *testing.T) {
	key := session.Key{Scope: store.Scope{Account: "111122223333", Region: "us-west-2"}, Owner: "hello-0123456789", Endpoint: "DEFAULT", ID: "s"}
	name := roleSession(key)
	if !regexp.MustCompile(`^BedrockAgentCore-[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(name) || roleSession(key) != name {
		t.Errorf("%q, %q", name, roleSession(key))
	}
	for _, change := range []func(*session.Key){
		func(k *session.Key) { k.Scope.Account = "111122223334" }, func(k *session.Key) { k.Scope.Region = "us-east-1" },
		func(k *session.Key) { k.Owner = "hello-0123456780" }, func(k *session.Key) { k.Endpoint = "PROD" }, func(k *session.Key) { k.ID = "t" },
	} {
		other := key
		if change(&other); roleSession(other) == name {
			t.Errorf("%+v has the name of another session", other)
		}
	}
}

func TestGuestEnvWithoutWire(t *testing.T) {
	if env := guestEnv(""); env != nil {
		t.Errorf("a guest without a wire is led to %v", env)
	}
}

// guests notes what it is asked.
type guests struct {
	entered []Guest
	left    []bool
	err     error
}

type noNetwork struct{ sandbox.Network }

func (g *guests) Enter(_ context.Context, guest Guest) (Surroundings, error) {
	g.entered = append(g.entered, guest)
	return Surroundings{Network: noNetwork{}, Reach: "everything", Leave: func(keep bool) { g.left = append(g.left, keep) }}, g.err
}

func TestSurround(t *testing.T) {
	g := &guests{}
	s := &Service{cfg: Config{Guests: g}}
	var ends []string
	plan := session.Plan{Ended: func(e session.End) { ends = append(ends, e.Why) }}
	if err := s.surround(t.Context(), &plan, Guest{Role: "r"}); err != nil || plan.Spec.Network == nil || plan.Surroundings != "everything" || len(g.entered) != 1 || g.entered[0].Role != "r" {
		t.Fatalf("%v, %+v, %+v", err, plan.Spec, g.entered)
	}
	plan.Ended(session.End{Why: "one"})
	plan.Ended(session.End{Why: "two", Hibernated: true})
	if !slices.Equal(ends, []string{"one", "two"}) || !slices.Equal(g.left, []bool{false, true}) {
		t.Errorf("ended %v, left %v", ends, g.left)
	}
	g.err = errors.New("no")
	if err := s.surround(t.Context(), &plan, Guest{}); !errors.Is(err, g.err) {
		t.Errorf("%v", err)
	}
	s.cfg.Guests = nil
	plan = session.Plan{}
	if err := s.surround(t.Context(), &plan, Guest{}); err != nil || plan.Spec.Network != nil || plan.Ended != nil {
		t.Errorf("nobody makes surroundings and there are some: %v, %+v", err, plan)
	}
}
