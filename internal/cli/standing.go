package cli

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/outcrop/outcrop/internal/client"
)

// standing is how far a deployment has come, for when it is interrupted.
type standing struct {
	name     string // of the agent, once it is known
	uploaded string // where the code is, once it is there
	asked    bool   // the server was asked to create or update the agent
}

// lookTime bounds the last look at the server of somebody who wants to leave.
const lookTime = 3 * time.Second

// sayInterrupted says what an interrupted deployment has done and how to go on.
func (p *Program) sayInterrupted(ctx context.Context, c *client.Client, s *standing) {
	switch {
	case s.asked:
		p.say("Interrupted. %s", p.whatStands(ctx, c, s))
	case s.uploaded != "":
		p.say("Interrupted. The code is uploaded to %s, and the agent is not changed yet.", s.uploaded)
	default:
		p.say("Interrupted. Nothing was uploaded, and nothing has changed.")
	}
	p.say("The same command again goes on from there.")
}

// whatStands asks the server once more what became of the agent.
func (p *Program) whatStands(ctx context.Context, c *client.Client, s *standing) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
	defer cancel()
	r, err := findRuntime(ctx, c, s.name)
	switch {
	case err != nil:
		return "The server was asked to deploy " + s.name + "; whether it has shows outcrop ls"
	case r == nil:
		return "The code is uploaded to " + s.uploaded + ", and there is no " + s.name + " yet."
	}
	version := aws.ToString(r.AgentRuntimeVersion)
	if inChange(r.Status) {
		return s.name + " is " + string(r.Status) + ", version " + version + ": the server goes on with it, and outcrop ls shows when it is READY."
	}
	return s.name + " is " + string(r.Status) + ", version " + version + "."
}

// withStanding tells whom the server left alone in the middle what stands.
func (p *Program) withStanding(ctx context.Context, err error, s *standing) error {
	var (
		unreachable *client.UnreachableError
		lost        *client.LostError
	)
	cause := client.Explain(err)
	if s.uploaded == "" || !errors.As(cause, &unreachable) && !errors.As(cause, &lost) {
		return err
	}
	f := p.explain(ctx, err)
	f.fix += "\nThe code is uploaded. The same command again goes on from there."
	f.cause = err
	return f
}
