package policy_test

import (
	"testing"

	"github.com/outcrop/outcrop/internal/auth/policy"
)

// TestPinned: "that ARN transforms to the role unique principal ID when you save the
// policy" ("Principal", IAM role principals): who has the ARN later is another.
func TestPinned(t *testing.T) {
	const otherID = "AROAAAAAAAAAAAAAAAAAZ"
	pins := map[string]string{userARN: userID, roleARN: roleID, sessionARN: roleID, "arn:aws:iam::" + home + ":root": otherID, federatedARN: otherID}
	gone := map[string]string{userARN: otherID, roleARN: otherID, sessionARN: otherID}
	never := map[string]string{userARN: "", roleARN: "", sessionARN: ""}
	renamed := people["user"]
	renamed.ARN = "arn:aws:iam::" + home + ":user/rob"
	guest := people["session"] // of a role that there is not
	guest.ID, guest.Source = "", ""
	const allow, deny, but = `"Allow","Principal"`, `"Deny","Principal"`, `"Deny","NotPrincipal"`
	for _, tt := range []struct {
		name, effect, principal string
		who                     policy.Principal
		pins                    map[string]string
		want                    policy.Effect
	}{
		{"user", allow, "user", people["user"], pins, policy.Allow},
		{"user under another name", allow, "user", renamed, pins, policy.Allow},
		{"user made again", allow, "user", people["user"], gone, policy.NoAllow},
		{"user who was not there", allow, "user", people["user"], never, policy.NoAllow},
		{"federated user of a user", allow, "user", people["federated"], pins, policy.Allow},
		{"federated user of a user made again", allow, "user", people["federated"], gone, policy.NoAllow},
		{"session of a role", allow, "role", people["session"], pins, policy.Allow},
		{"session of a role made again", allow, "role", people["session"], gone, policy.NoAllow},
		{"session of a role that was not there", allow, "role", people["session"], never, policy.NoAllow},
		{"session by its own ARN", allow, "session", people["session"], pins, policy.Allow},
		{"session by its own ARN, of a role made again", allow, "session", people["session"], gone, policy.NoAllow},
		{"session by its own ARN, of a role that there is not", allow, "session", guest, pins, policy.NoAllow},
		{"session by its own ARN, of a role that was not there", allow, "session", people["session"], never, policy.NoAllow},
		{"not pinned", allow, "role", people["session"], nil, policy.Allow},
		{"account", allow, "root", people["root"], pins, policy.Allow},
		{"federated user", allow, "federated", people["federated"], pins, policy.Allow},
		{"denied", deny, "role", people["session"], pins, policy.ExplicitDeny},
		{"denied, made again", deny, "role", people["session"], gone, policy.NoAllow},
		{"denied by the name of nobody", deny, "role", people["session"], never, policy.ExplicitDeny},
		{"all but the role", but, "role", people["session"], pins, policy.NoAllow},
		{"all but the role, made again", but, "role", people["session"], gone, policy.ExplicitDeny},
		{"all but one who was not there", but, "role", people["session"], never, policy.ExplicitDeny},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := `{"Version":"2012-10-17","Statement":{"Effect":` + tt.effect + `:` + principals[tt.principal] + `,"Action":"*","Resource":"*"}}`
			d, err := policy.Parse([]byte(text), policy.Resource)
			if err != nil {
				t.Fatal(err)
			}
			ask := func(d *policy.Document) policy.Effect {
				return policy.Evaluate(policy.Policies{Resource: []*policy.Document{d}}, policy.Request{Principal: tt.who, Action: "s3:GetObject", Resource: ours}).Effect
			}
			before := ask(d)
			if got := ask(d.Pinned(tt.pins)); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
			if ask(d) != before {
				t.Error("Pinned has changed the document itself")
			}
		})
	}
}

// TestEntity: users, roles and sessions can be made again; accounts, services and
// federated users cannot.
func TestEntity(t *testing.T) {
	entities := map[string]bool{"user": true, "role": true, "session": true, "userid": true, "roleid": true, "barerole": true}
	for name, principal := range principals {
		d, err := policy.Parse([]byte(`{"Statement":{"Effect":"Allow","Principal":`+principal+`,"Action":"*","Resource":"*"}}`), policy.Resource)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Statements[0].Principals[0].Entity(); got != entities[name] {
			t.Errorf("%s: %v", name, got)
		}
	}
}
