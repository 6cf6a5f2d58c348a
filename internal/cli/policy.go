package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
)

func newPolicy(p *Program, f *flags) *cobra.Command {
	cmd := parent("policy", "Ask what policies allow", "  outcrop policy simulate user/ann bedrock-agentcore:InvokeAgentRuntime ARN")
	cmd.Long = `Asks what the policies that are in force allow. They are made with outcrop user and outcrop role, or with
AWS's own clients: aws iam put-user-policy, attach-role-policy and so on.`
	cmd.AddCommand(newSimulate(p, f))
	return cmd
}

func newSimulate(p *Program, f *flags) *cobra.Command {
	var entries []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "simulate WHO ACTION [RESOURCE]",
		Short: "Tell whether somebody may do something, and which statement says so",
		Long: `Tells whether somebody may do something now, and which statement of which policy says so: the policies of a user and
its groups or of a role, permissions boundaries, and those of the resource. It is the decision that a call would get on
that resource; some calls are asked for on several (docs/operations.md), such as those of an agent on its ARN and on
ARN/runtime-endpoint/DEFAULT. The exit code is 0 whatever the answer is; scripts read --json.

WHO is root, user/NAME, role/NAME, or the ARN of one of those or of a session of a role. The resource is an ARN;
without one the action is asked about on all. Conditions find what --context says, the time and the region, and nothing
else of a call; keys that it would have taken are named.`,
		Example: `  outcrop policy simulate user/ann bedrock-agentcore:ListAgentRuntimes
  outcrop policy simulate role/outcrop-default s3:GetObject arn:aws:s3:::bucket/key
  outcrop policy simulate user/ann iam:PassRole arn:aws:iam::123456789012:role/agent --context iam:PassedToService=bedrock-agentcore.amazonaws.com`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 || len(args) == 3 {
				return nil
			}
			f := misuse("simulate takes who, an action and perhaps a resource")
			f.fix = "Usage: " + cmd.UseLine() + "\nSee: " + cmd.CommandPath() + " --help"
			return f
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			in := outcrop.SimulatePolicyRequest{Principal: &args[0], Action: &args[1], Resource: aws.String("*")}
			if len(args) == 3 {
				in.Resource = &args[2]
			}
			var err error
			if in.ContextEntries, err = contextEntries(entries); err != nil {
				return err
			}
			return p.simulate(cmd.Context(), f, in, asJSON)
		},
	}
	cmd.Flags().StringArrayVar(&entries, "context", nil, "`KEY=VALUE` of a condition key, such as aws:SourceIp=10.0.0.7 (may be repeated; a key's values add up)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the answer as JSON")
	return cmd
}

// contextEntries reads condition keys, in the order in which they were given first.
func contextEntries(texts []string) ([]outcrop.PolicyContextEntry, error) {
	var out []outcrop.PolicyContextEntry
	at := map[string]int{}
	for _, text := range texts {
		key, value, ok := strings.Cut(text, "=")
		if !ok || !strings.Contains(key, ":") || value == "" {
			return nil, misuse("--context %q is not KEY=VALUE, such as aws:SourceIp=10.0.0.7", text)
		}
		i, there := at[key]
		if !there {
			i = len(out)
			at[key] = i
			out = append(out, outcrop.PolicyContextEntry{Key: &key})
		}
		out[i].Values = append(out[i].Values, value)
	}
	return out, nil
}

// simulated is the answer for programs.
type simulated struct {
	Decision  string `json:"decision"`
	Principal string `json:"principalArn"`
	Because   string `json:"because"`
	Refusal   string `json:"refusal,omitempty"`
	// Missing are condition keys that the decision may hang on, and nobody said.
	Missing []string `json:"missingContextKeys,omitempty"`
}

func (p *Program) simulate(ctx context.Context, f *flags, in outcrop.SimulatePolicyRequest, asJSON bool) error {
	c, err := p.connect(ctx, f)
	if err != nil {
		return err
	}
	out, err := c.SimulatePolicy(ctx, in)
	if err != nil {
		return err
	}
	if asJSON {
		return p.printJSON(simulated{aws.ToString(out.Decision), aws.ToString(out.PrincipalArn), aws.ToString(out.Because), aws.ToString(out.Refusal), out.MissingContextKeys})
	}
	answer := map[string]string{
		outcrop.PolicyDecisionAllowed: "allowed", outcrop.PolicyDecisionExplicitDeny: "denied", outcrop.PolicyDecisionImplicitDeny: "not allowed",
	}[aws.ToString(out.Decision)]
	_, err = fmt.Fprintln(p.Stdout, p.shown(answer+": "+aws.ToString(out.Because)))
	if len(out.MissingContextKeys) > 0 {
		p.say("A call may be decided otherwise: conditions ask for %s, which --context does not say.", p.shown(strings.Join(out.MissingContextKeys, ", ")))
	}
	return err
}
