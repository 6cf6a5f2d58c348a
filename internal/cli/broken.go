package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/client"
)

// brokenError says that an answer began and did not come to its end.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return "the answer broke off: " + e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

// explainBroken finds out why an answer broke off in the middle.
func (p *Program) explainBroken(ctx context.Context, c *client.Client, broken *brokenError, v invocation) error {
	end, err := findEnd(ctx, c, v)
	var gone *client.UnreachableError
	switch {
	case errors.As(client.Explain(err), &gone):
		at := c.Target().Endpoint
		f := fail("What came before is printed. The server's own log says why it ended. Start it again: "+p.startAgain(at),
			"the server at %s ended in the middle of the answer", at)
		f.cause = broken
		return f
	case end != "":
		f := fail("What came before is printed. "+v.afterEnd(end), "%s in the middle of the answer", end)
		f.cause = broken
		return f
	}
	f := fail("What came before is printed. Its log says more: "+v.logCommand(), "the agent broke off in the middle of the answer")
	f.cause = broken
	return f
}

// invokeFailure adds what to do to an invocation that was refused.
func (p *Program) invokeFailure(ctx context.Context, c *client.Client, err error, v invocation) error {
	var refused *client.Error
	if ctx.Err() != nil || !errors.As(client.Explain(err), &refused) {
		return err
	}
	f := explainRefusal(refused)
	switch {
	case refused.Code == "ResourceNotFoundException":
		f.fix = "See what there is: outcrop ls" + v.where
		if !v.found {
			return f
		}
	case refused.Code != "RuntimeClientError":
		return err
	case strings.HasPrefix(refused.Message, "This host cannot run sandboxes"): // that says its own fix, and no agent wrote a line
		return f
	case strings.HasPrefix(refused.Message, "The session was stopped"):
		f.fix = v.afterEnd(endSession)
	default:
		f.fix = "Its log says why: " + v.logCommand()
	}
	if end, _ := findEnd(ctx, c, v); end == endDeleted { // not known is as good as none
		f.text, f.fix = end+" before it answered", v.afterEnd(end)
	}
	return f
}

// What ends an invocation from outside of it.
const (
	endDeleted = "the agent was deleted"
	endSession = "the session ended"
)

// findEnd looks whether the agent or the session that v uses has gone; it is ""
// when neither.
func findEnd(ctx context.Context, c *client.Client, v invocation) (string, error) {
	id := v.arn[strings.LastIndexByte(v.arn, '/')+1:]
	r, err := c.Control().GetAgentRuntime(ctx, &bedrockagentcorecontrol.GetAgentRuntimeInput{AgentRuntimeId: aws.String(id)})
	switch {
	case client.Is(err, "ResourceNotFoundException"):
		return endDeleted, nil
	case err != nil:
		return "", err
	case r.Status == types.AgentRuntimeStatusDeleting:
		return endDeleted, nil
	}
	live, _, err := listSessions(ctx, c, outcrop.ListSessionsRequest{AgentRuntimeId: aws.String(id)})
	if err != nil {
		return "", err
	}
	for _, s := range live {
		if aws.ToString(s.SessionId) == v.session && !strings.HasPrefix(aws.ToString(s.Status), "STOP") {
			return "", nil
		}
	}
	return endSession, nil
}

// afterEnd is what to do when the agent or the session has been ended.
func (v invocation) afterEnd(end string) string {
	if end == endDeleted {
		return "Deploy it again: outcrop deploy FOLDER" + v.where
	}
	return fmt.Sprintf("Somebody stopped it, its time was up, or its process ended; its log says more: %s\nThe same id starts a new one: outcrop invoke %s -s %s%s PAYLOAD",
		v.logCommand(), v.ref, v.session, v.where)
}

// logCommand shows what the agent said in this session.
func (v invocation) logCommand() string {
	command := fmt.Sprintf("outcrop logs %s -s %s", v.ref, v.session)
	if v.qualifier != "" {
		command += " --qualifier " + quotePOSIX(v.qualifier)
	}
	return command + v.where
}
