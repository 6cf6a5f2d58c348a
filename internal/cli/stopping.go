package cli

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/client"
)

// stopTime is how long the server gives a busy session to end
// (spec/runtime.md 12).
const stopTime = 15 * time.Second

// busyness is how many sessions live, and how many requests they are answering.
type busyness struct{ sessions, requests int }

// liveSessions counts the live sessions of a runtime, or the one that is named.
// It is for the person who waits: what cannot be counted is none.
func liveSessions(ctx context.Context, c *client.Client, r *types.AgentRuntime, session string) busyness {
	all, _, err := listSessions(ctx, c, outcrop.ListSessionsRequest{AgentRuntimeId: r.AgentRuntimeId})
	if err != nil {
		return busyness{}
	}
	var b busyness
	for _, s := range all {
		if session == "" || aws.ToString(s.SessionId) == session {
			b.sessions++
			b.requests += int(aws.ToInt32(s.ActiveRequests))
		}
	}
	return b
}

// String is "2 sessions (1 running request)".
func (b busyness) String() string {
	text := plural(b.sessions, "session")
	if b.requests > 0 {
		text += " (" + plural(b.requests, "running request") + ")"
	}
	return text
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// showStopping says what is waited for, and on a terminal for how long already,
// until the function that it returns is called. Where nothing lives there is
// nothing to wait for, and nothing is said.
func (p *Program) showStopping(b busyness, what string) func() {
	if b.sessions == 0 {
		return func() {}
	}
	text := fmt.Sprintf("%s, up to %d s", what, int(stopTime.Seconds()))
	if !p.StderrTerminal {
		p.say("%s", text)
		return func() {}
	}
	show := &progress{p: p}
	show.update("%s", text)
	begin, done, ended := p.Now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				show.done()
				return
			case <-tick.C:
				show.update("[%s] %s", span(p.Now().Sub(begin)), text)
			}
		}
	}()
	return sync.OnceFunc(func() { close(done); <-ended })
}
