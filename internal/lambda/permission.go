package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/api/model/lambda"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth/pin"
	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/store"
)

// Attached is what a function has that decisions on calls ask for.
type Attached struct {
	Tags   map[string]string
	Policy string // empty for none
	Pins   pin.Pins
}

// revision names a state of a function.
func revision() string { return uuid.NewString() }

// policyText is a function's policy, empty for none.
func policyText(list []statement) string {
	if len(list) == 0 {
		return ""
	}
	texts := make([]string, len(list))
	for i, st := range list {
		texts[i] = string(st.Text)
	}
	return `{"Version":"2012-10-17","Id":"default","Statement":[` + strings.Join(texts, ",") + `]}`
}

var (
	accountForm = regexp.MustCompile(`^\d{12}$`)
	serviceForm = regexp.MustCompile(`^[a-z0-9.-]+\.(amazonaws\.com|amazon\.com)$`)
)

// principalOf is a principal as a policy has it.
func principalOf(text string) (any, error) {
	switch {
	case text == "*":
		return "*", nil
	case accountForm.MatchString(text):
		return map[string]string{"AWS": "arn:aws:iam::" + text + ":root"}, nil
	case serviceForm.MatchString(text):
		return map[string]string{"Service": text}, nil
	case strings.HasPrefix(text, "arn:"):
		return map[string]string{"AWS": text}, nil
	}
	return nil, badPrincipal(nil)
}

func badPrincipal(cause error) error {
	text := "The provided principal was invalid. Please check the principal and try again."
	if cause != nil {
		text += " " + cause.Error()
	}
	return invalidParameter("%s", text)
}

// statementOf writes down what AddPermission asks for.
func statementOf(n Name, in *lambda.AddPermissionRequest) (statement, error) {
	st := statement{ID: *in.StatementId}
	who, err := principalOf(*in.Principal)
	if err != nil {
		return st, err
	}
	conditions := map[string]map[string]string{}
	add := func(operator, key string, value *string) {
		if value == nil {
			return
		}
		if conditions[operator] == nil {
			conditions[operator] = map[string]string{}
		}
		conditions[operator][key] = *value
	}
	add("StringEquals", "AWS:SourceAccount", in.SourceAccount)
	add("ArnLike", "AWS:SourceArn", in.SourceArn)
	add("StringEquals", "aws:PrincipalOrgID", in.PrincipalOrgID)
	doc := struct {
		Sid       string                       `json:"Sid"`
		Effect    string                       `json:"Effect"`
		Principal any                          `json:"Principal"`
		Action    string                       `json:"Action"`
		Resource  string                       `json:"Resource"`
		Condition map[string]map[string]string `json:"Condition,omitempty"`
	}{st.ID, "Allow", who, *in.Action, n.ARN(), conditions}
	st.Text, err = json.Marshal(doc)
	return st, err
}

// AddPermission adds a statement to a function's policy.
func (a api) AddPermission(ctx context.Context, in *lambda.AddPermissionRequest) (*lambda.AddPermissionResponse, error) {
	n, err := may(ctx, "AddPermission", in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	if n.Qualifier == Latest {
		return nil, invalidParameter("We currently do not support adding policies for $LATEST. Leave the qualifier out, and invoke the function without one.")
	}
	for member, set := range map[string]bool{"EventSourceToken": in.EventSourceToken != nil, "FunctionUrlAuthType": in.FunctionUrlAuthType != nil, "InvokedViaFunctionUrl": in.InvokedViaFunctionUrl != nil} {
		if set {
			return nil, invalidParameter("%s is for functions' URLs and Alexa, which are not here; leave it out", member)
		}
	}
	st, err := statementOf(n, in)
	if err != nil {
		return nil, err
	}
	if _, err := a.read(ctx, n); err != nil {
		return nil, err
	}
	pins, err := a.pinned(ctx, []statement{st}) // those of others were, and some may be gone by now
	if err != nil {
		return nil, err
	}
	err = a.changePolicy(ctx, n, in.RevisionId, func(state *functionState) error {
		if slices.ContainsFunc(state.Statements, func(have statement) bool { return have.ID == st.ID }) {
			return conflict("The statement id (%s) provided already exists. Please provide a new statement id, or remove the existing statement.", st.ID)
		}
		state.Statements = append(state.Statements, st)
		if len(policyText(state.Statements)) > maxPolicy {
			return user("PolicyLengthExceededException", 400, "The final policy size (%d) is bigger than the limit (%d).", len(policyText(state.Statements)), maxPolicy)
		}
		if state.Pins == nil {
			state.Pins = pin.Pins{}
		}
		for who, id := range pins {
			state.Pins[who] = id
		}
		return nil
	})
	return &lambda.AddPermissionResponse{Statement: new(string(st.Text))}, err
}

// pinned reads the policy that statements make and pins whom it names.
func (s *Service) pinned(ctx context.Context, list []statement) (pin.Pins, error) {
	doc, err := policy.Parse([]byte(policyText(list)), policy.Resource)
	if err != nil {
		return nil, invalidParameter("The policy that this makes is not valid: %s", err.Error())
	}
	pins, err := pin.Take(ctx, s.cfg.Directory, doc)
	if unknown, ok := errors.AsType[*pin.UnknownError](err); ok {
		return nil, badPrincipal(unknown)
	}
	return pins, err
}

// RemovePermission takes a statement away.
func (a api) RemovePermission(ctx context.Context, in *lambda.RemovePermissionRequest) (*lambda.Nothing, error) {
	n, err := may(ctx, "RemovePermission", in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	err = a.changePolicy(ctx, n, in.RevisionId, func(state *functionState) error {
		i := slices.IndexFunc(state.Statements, func(st statement) bool { return st.ID == *in.StatementId })
		if i < 0 {
			return user("ResourceNotFoundException", 404, "Statement %s is not found in resource policy.", *in.StatementId)
		}
		state.Statements = slices.Delete(state.Statements, i, i+1)
		return nil
	})
	return &lambda.Nothing{}, err
}

func (a api) changePolicy(ctx context.Context, n Name, seen *string, change func(*functionState) error) error {
	return a.cfg.Store.Update(ctx, func(tx store.Tx) error {
		doc, err := a.get(tx, n)
		if err != nil {
			return err
		}
		if seen != nil && *seen != doc.State.Revision {
			return stale()
		}
		if err := change(&doc.State); err != nil {
			return err
		}
		doc.State.Revision = revision()
		_, err = a.functions.Replace(tx, doc)
		return err
	})
}

// GetPolicy returns a function's policy.
func (a api) GetPolicy(ctx context.Context, in *lambda.GetPolicyRequest) (*lambda.GetPolicyResponse, error) {
	n, err := may(ctx, "GetPolicy", in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	doc, err := a.read(ctx, n)
	if err != nil {
		return nil, err
	}
	text := policyText(doc.State.Statements)
	if text == "" {
		return nil, user("ResourceNotFoundException", 404, "The resource you requested does not exist.")
	}
	text, err = doc.State.Pins.Text(ctx, a.cfg.Directory, text)
	return &lambda.GetPolicyResponse{Policy: wire.Optional(text), RevisionId: &doc.State.Revision}, err
}
