package bedrockruntime_test

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/bedrockruntime"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/llm/llmtest"
)

// allowed are the policies of everybody.
type allowed struct{ documents []*policy.Document }

func (a *allowed) Identity(context.Context, auth.Principal) (auth.Identity, error) {
	return auth.Identity{Identity: a.documents}, nil
}

// TestMappedModels: of a model that the configuration gives other names policies allow the
// name that the caller writes, as AWS's do, and deny that and its own: nobody gets round a
// Deny by another spelling, nor to another model by an ARN's other parts.
func TestMappedModels(t *testing.T) {
	s := llmtest.Start(t, func(llmtest.Ask) llmtest.Reply { return llmtest.OpenAIText("x") })
	cfg := one(llm.OpenAI, s.URL)
	cfg.Models = []llm.Mapping{{Pattern: "*large*", Provider: "scripted", Model: "big"}, {Pattern: "*", Provider: "scripted"}}
	k, everybody := newKit(t, cfg), &allowed{}
	k.authorizer.Identities = everybody
	const (
		all     = `{"Effect":"Allow","Action":"bedrock:*","Resource":"*"}`
		notBig  = all + `,{"Effect":"Deny","Action":"bedrock:InvokeModel","Resource":"arn:aws:bedrock:*::foundation-model/big"}`
		notHere = all + `,{"Effect":"Deny","Action":"bedrock:InvokeModel","Resource":"arn:aws:bedrock:*::foundation-model/anthropic.large-*"}`
		only    = all + `,{"Effect":"Deny","Action":"bedrock:*","NotResource":"arn:aws:bedrock:*::foundation-model/anthropic.*"}`
		small   = `{"Effect":"Allow","Action":"bedrock:*","Resource":"arn:aws:bedrock:*::foundation-model/small*"}`
		guide   = `{"Effect":"Allow","Action":["bedrock:InvokeModel","bedrock:InvokeModelWithResponseStream"],"Resource":["arn:aws:bedrock:*::foundation-model/anthropic.large-v1:0","arn:aws:bedrock:us-west-2:111122223333:inference-profile/us.anthropic.large-v1:0"]}`
		inOther = "arn:aws:bedrock:large::foundation-model/small" // its region is no name of the model
		model   = "arn:aws:bedrock:us-west-2::foundation-model/"
	)
	for _, tt := range []struct {
		policy, id, refused string // refused is the model that the refusal names
		asked               string // of the provider
	}{
		{all, "large", "", "big"}, {all, "us.x.large", "", "big"},
		{notBig, "large", "big", ""}, {notBig, "zz-large-zz", "big", ""}, {notBig, "us.x.large", "big", ""}, {notBig, "small", "", "small"}, {notBig, "big", "big", ""},
		{notHere, "anthropic.large-v1:0", "anthropic.large-v1:0", ""}, {notHere, "us.anthropic.large-v1:0", "anthropic.large-v1:0", ""}, {notHere, "large", "", "big"},
		{only, "anthropic.large-v1:0", "", "big"}, {only, "large", "large", ""}, {only, "big", "big", ""},
		{small, "small", "", "small"}, {small, "small-large", "", "big"}, {small, "large", "large", ""}, {small, "big", "big", ""}, {small, inOther, "", "small"},
		{guide, "anthropic.large-v1:0", "", "big"}, {guide, "us.anthropic.large-v1:0", "", "big"}, {guide, model + "anthropic.large-v1:0", "", "big"}, {guide, "anthropic.large-v2:0", "anthropic.large-v2:0", ""},
	} {
		doc, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[`+tt.policy+`]}`), policy.Identity)
		if err != nil {
			t.Fatal(err)
		}
		everybody.documents = []*policy.Document{doc}
		before := len(s.Asked())
		_, err = k.client("AKIDNOBODY").Converse(t.Context(), &sdk.ConverseInput{ModelId: aws.String(tt.id), Messages: say("x")})
		if (err == nil) != (tt.refused == "") || err != nil && !strings.Contains(err.Error(), "bedrock:InvokeModel on resource: "+model+tt.refused+" ") {
			t.Errorf("%s by %s: %v", tt.id, tt.policy, err)
		}
		asked := ""
		for _, a := range s.Asked()[before:] {
			asked, _ = a.Members["model"].(string)
		}
		if asked != tt.asked {
			t.Errorf("%s by %s: the provider was asked for %q, want %q", tt.id, tt.policy, asked, tt.asked)
		}
	}
}
