package principal

import (
	"fmt"
	"testing"

	"github.com/outcrop/outcrop/internal/auth/pin"
	"github.com/outcrop/outcrop/internal/store"
)

// TestUniqueID: users, roles and sessions of roles are known by their whole ARN or their
// id; those of another account are not.
func TestUniqueID(t *testing.T) {
	c := newCourt(t)
	u, err := c.CreateUser(t.Context(), NewUser{Name: "ann", Path: "/team/"})
	must(t, err)
	r := c.role("r", trusting(c.account.ID, ""), "")
	g, err := c.CreateGroup(t.Context(), "g", "/")
	must(t, err)
	iam, sts := "arn:aws:iam::"+c.account.ID+":", "arn:aws:sts::"+c.account.ID+":"
	for principal, want := range map[string]string{
		u.ARN: u.ID, u.ID: u.ID, r.ARN: r.ID, r.ID: r.ID, sts + "assumed-role/r/one": r.ID,
		iam + "user/ann": "", iam + "role/ann": "", iam + "user/team/Ann": "", iam + "role/team/r": "", sts + "assumed-role/R/one": "", iam + "user/": "", iam + "role": "", iam + "role/\x00": "", iam + "role/r\x00": "",
		g.ID: "", "AIDAAAAAAAAAAAAAAAAAA": "", "AROA": "", "": "",
	} {
		if id, known, err := c.UniqueID(t.Context(), principal); id != want || !known || err != nil {
			t.Errorf("%s is %q, %t, %v, want %q", principal, id, known, err, want)
		}
	}
	for _, principal := range []string{"arn:aws:iam::999988887777:role/r", "arn:aws-cn:iam::" + c.account.ID + ":role/r", "arn:"} {
		if id, known, err := c.UniqueID(t.Context(), principal); id != "" || known || err != nil {
			t.Errorf("%s is %q, %t, %v", principal, id, known, err)
		}
	}
	for id, want := range map[string]string{u.ID: u.ARN, r.ID: r.ARN, g.ID: "", "AIDAAAAAAAAAAAAAAAAAA": ""} {
		if arn, err := c.ARN(t.Context(), id); arn != want || err != nil {
			t.Errorf("%s is %s, %v", id, arn, err)
		}
	}
}

// TestTrustsOfOlderVersions: they are pinned once, to whom there is.
func TestTrustsOfOlderVersions(t *testing.T) {
	c := newCourt(t)
	ann := c.user("ann", "")
	r := c.role("r", trusting(ann.ARN, ""), "")
	later := "arn:aws:iam::" + c.account.ID + ":user/later"
	_, err := c.change(t.Context(), Holder{RoleHolder, "r"}, func(_ store.Tx, s *holderState) error {
		s.TrustPins = nil
		s.Trust = fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["%s","%s"]},"Action":"sts:AssumeRole"}]}`, ann.ARN, later)
		return nil
	})
	must(t, err)
	lost, err := c.PinTrusts(t.Context())
	if want := (pin.Lost{Resource: r.ARN, Principal: later}); err != nil || len(lost) != 1 || lost[0] != want {
		t.Fatalf("%+v, %v, want %+v", lost, err, want)
	}
	if refusal := c.may(t.Context(), ann, "sts:AssumeRole", r.ARN); refusal != "" {
		t.Error(refusal)
	}
	if refusal := c.may(t.Context(), c.user("later", ""), "sts:AssumeRole", r.ARN); refusal == "" {
		t.Error("who came later is trusted")
	}
}
