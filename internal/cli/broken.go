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
	f := p.whatEnded(ctx, c, broken, v)
	if f == nil {
		f = fail("What came before is printed. Its log says more: "+v.logCommand(), "the agent broke off in the middle of the answer")
		f.cause = broken
	}
	return f
}

// whatEnded says what ended, of all that v uses, in the middle of an answer; it is nil
// when everything is still there.
func (p *Program) whatEnded(ctx context.Context, c *client.Client, broken *brokenError, v invocation) *failure {
	end, err := findEnd(ctx, c, v)
	at := c.Target().Endpoint
	switch {
	case p.serverEnded(ctx, at, err):
		f := fail("What came before is printed. The server's own log says why it ended. Start it again: "+p.startAgain(at),
			"the server at %s ended in the middle of the answer", at)
		f.cause = broken
		return f
	case end != "":
		f := fail("What came before is printed. "+v.afterEnd(end), "%s in the middle of the answer", end)
		f.cause = broken
		return f
	}
	return nil
}

// serverEnded reports whether a call failed because nobody listens at the endpoint
// any more. One that is being killed takes calls for some moments longer.
func (p *Program) serverEnded(ctx context.Context, endpoint string, err error) bool {
	var (
		gone *client.UnreachableError
		lost *client.LostError
	)
	if err = client.Explain(err); errors.As(err, &lost) && !lost.Timeout() {
		_, err = settledProbe(ctx, endpoint, p.trusted)
	}
	return errors.As(err, &gone)
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
		if v.qualifier != "" {
			f.fix = fmt.Sprintf("See what there is: outcrop endpoint list %s%s", v.ref, v.where)
		}
		if !v.found {
			return f
		}
	case strings.HasPrefix(refused.Message, "Authorization method mismatch"):
		f.fix = "It is called with the tokens of an issuer, which outcrop ls " + v.ref + v.where + " names; give one with --token-file"
		if v.user.token != "" {
			f.fix = "It takes no tokens: leave out --token-file and --bearer-token"
		}
		return f
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
	return fmt.Sprintf("Somebody stopped it, its time was up, or its process ended; its log says more: %s\nThe same id starts a new one: %s PAYLOAD",
		v.logCommand(), v.callAgain("invoke"))
}

// logCommand shows what the agent said in this session.
func (v invocation) logCommand() string { return v.again("logs") }

// again is the command that means the same session: of an endpoint too, since one id
// is another session at each.
func (v invocation) again(command string) string {
	line := fmt.Sprintf("outcrop %s %s -s %s", command, v.ref, quotePOSIX(v.session))
	if v.qualifier != "" {
		line += " --qualifier " + quotePOSIX(v.qualifier)
	}
	return line + v.where
}

// callAgain is the command that calls the agent in the same session, for the same user.
func (v invocation) callAgain(command string) string { return v.again(command) + v.user.again() }
