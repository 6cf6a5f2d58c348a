package pin_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/auth/pin"
	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

const (
	home    = "111122223333"
	user    = "arn:aws:iam::" + home + ":user/team/ann"
	role    = "arn:aws:iam::" + home + ":role/r"
	session = "arn:aws:sts::" + home + ":assumed-role/r/one"
	none    = "arn:aws:iam::" + home + ":role/none"
	away    = "arn:aws:iam::444455556666:role/r"
	userID  = "AIDAAAAAAAAAAAAAAAAAB"
	roleID  = "AROAAAAAAAAAAAAAAAAAB"
)

// people are who there is, by ARN or, for a session, the ARN of it.
type people map[string]string

func everybody() people { return people{user: userID, role: roleID, session: roleID} }

func (p people) UniqueID(_ context.Context, principal string) (string, bool, error) {
	if principal == "arn:aws:iam::"+home+":user/broken" {
		return "", true, errBroken
	}
	for arn, id := range p {
		if principal == arn || principal == id {
			return id, true, nil
		}
	}
	return "", !strings.Contains(principal, "444455556666"), nil
}

var errBroken = errors.New("the store is broken")

func (p people) ARN(_ context.Context, id string) (string, error) {
	for arn, of := range p {
		if of == id && !strings.Contains(arn, ":sts:") {
			return arn, nil
		}
	}
	return "", nil
}

func policyOf(element string, principals ...string) string {
	names, err := json.Marshal(principals)
	if err != nil {
		panic(err)
	}
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","` + element + `":{"AWS":` + string(names) + `},"Action":"s3:*","Resource":"*"}]}`
}

func parse(t testing.TB, text string) *policy.Document {
	t.Helper()
	d, err := policy.Parse([]byte(text), policy.Resource)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestTake: users, roles and sessions are pinned; accounts, other accounts, services and
// ids are not, and who is not there is refused.
func TestTake(t *testing.T) {
	federated := "arn:aws:sts::" + home + ":federated-user/eve"
	for _, tt := range []struct {
		principals []string
		want       pin.Pins
		unknown    string
	}{
		{[]string{"*", home, "arn:aws:iam::" + home + ":root", away, federated}, nil, ""},
		{[]string{user, role, user, session}, pin.Pins{user: userID, role: roleID, session: roleID}, ""},
		{[]string{userID, roleID}, nil, ""},
		{[]string{user, none, none}, nil, none},
		{[]string{"AROAAAAAAAAAAAAAAAAAZ"}, nil, "AROAAAAAAAAAAAAAAAAAZ"},
	} {
		for _, element := range []string{"Principal", "NotPrincipal"} {
			pins, err := pin.Take(t.Context(), everybody(), parse(t, policyOf(element, tt.principals...)))
			unknown, _ := errors.AsType[*pin.UnknownError](err)
			if tt.unknown == "" && err != nil || tt.unknown != "" && (unknown == nil || unknown.Principal != tt.unknown) || !maps.Equal(pins, tt.want) {
				t.Errorf("%s %q: %v, %v, want %v, %q", element, tt.principals, pins, err, tt.want, tt.unknown)
			}
		}
	}
	if _, err := pin.Take(t.Context(), everybody(), parse(t, policyOf("Principal", "arn:aws:iam::"+home+":user/broken"))); !errors.Is(err, errBroken) {
		t.Errorf("of a broken store: %v", err)
	}
	if pins, err := pin.Take(t.Context(), nil, parse(t, policyOf("Principal", none))); pins != nil || err != nil {
		t.Errorf("without a directory: %v, %v", pins, err)
	}
}

// TestText: ARNs while there is somebody, then ids, in Principal elements alone.
func TestText(t *testing.T) {
	const text = `{ "Version":"2012-10-17",
 "Statement": [ {"Sid":"` + role + `","Effect":"Allow", "Principal" : {"AWS": [ "` + user + `" ,"arn:aws:iam::111122223333:role\/r","` + session + `","` + none + `"],"Service":"s3.amazonaws.com"},
  "Action":"s3:*","Resource":"` + role + `","Condition":{"ArnEquals":{"aws:PrincipalArn":"` + role + `"}}},
  {"Effect":"Deny","NotPrincipal":{"AWS":"` + role + `"},"Action":"s3:*","Resource":"*"} ]}`
	pins := pin.Pins{user: userID, role: roleID, session: roleID, none: ""}
	read := func(p people) string {
		t.Helper()
		got, err := pins.Text(t.Context(), p, text)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := read(everybody()); got != text {
		t.Errorf("somebody is there: %s", got)
	}
	renamed := everybody()
	delete(renamed, user)
	renamed["arn:aws:iam::"+home+":user/bob"] = userID
	if got, want := read(renamed), strings.Replace(text, user, "arn:aws:iam::"+home+":user/bob", 1); got != want {
		t.Errorf("of a user under another name:\n%s\nwant\n%s", got, want)
	}
	again := people{user: userID, role: "AROAAAAAAAAAAAAAAAAAZ", session: "AROAAAAAAAAAAAAAAAAAZ"}
	want := strings.Replace(text, `arn:aws:iam::111122223333:role\/r`, roleID, 1)
	want = strings.Replace(want, session, roleID+":one", 1)
	want = strings.Replace(want, `"NotPrincipal":{"AWS":"`+role, `"NotPrincipal":{"AWS":"`+roleID, 1)
	if got := read(again); got != want {
		t.Errorf("of a role made again:\n%s\nwant\n%s", got, want)
	}
	one := `{"Statement":{"Effect":"Deny","Principal":{"AWS":"` + role + `"},"Action":"*","Resource":"*"}}`
	if got, err := pins.Text(t.Context(), people{}, one); err != nil || got != strings.Replace(one, role, roleID, 1) {
		t.Errorf("of one statement: %s, %v", got, err)
	}
}

// FuzzText: what is shown is a policy again, that says the same but for whom it names,
// and in that no ARN is left whose holder is gone.
func FuzzText(f *testing.F) {
	f.Add(policyOf("Principal", user, role, session))
	f.Add(policyOf("NotPrincipal", role))
	f.Add(`{"Statement":{"Effect":"Deny","Principal":{"AWS":"` + role + `"},"Action":"*","Resource":"` + role + `"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := policy.Parse([]byte(text), policy.Resource)
		if err != nil {
			return
		}
		pins, err := pin.Take(t.Context(), everybody(), d)
		if err != nil {
			return
		}
		same, err := pins.Text(t.Context(), everybody(), text)
		if err != nil || same != text {
			t.Fatalf("%q is shown as %q, %v", text, same, err)
		}
		shown, err := pins.Text(t.Context(), people{}, text)
		if err != nil {
			t.Fatal(err)
		}
		root, err := policy.Parse([]byte(strings.ReplaceAll(shown, roleID+":one", roleID)), policy.Resource)
		if err != nil {
			t.Fatalf("%q is shown as %q, which is no policy: %v", text, shown, err)
		}
		for i, s := range root.Statements {
			was := d.Statements[i]
			for j, n := range s.Principals {
				id, pinned := pins[was.Principals[j].Value]
				if pinned && n.Value != id || !pinned && n.Value != was.Principals[j].Value && n.Value != roleID {
					t.Fatalf("%q is shown with %q for %q", text, n.Value, was.Principals[j].Value)
				}
			}
			if strings.Join(s.Resources, " ") != strings.ReplaceAll(strings.Join(was.Resources, " "), roleID+":one", roleID) {
				t.Fatalf("%q is shown with %q", text, s.Resources)
			}
		}
	})
}

type spec struct {
	Policy string
	Pins   pin.Pins
}

// TestUpgrade: what older versions stored is pinned once; who is not there then is
// nobody, whoever has the name later.
func TestUpgrade(t *testing.T) {
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	c := store.Collection[spec, struct{}]{Kind: "thing"}
	scope := store.Scope{Account: home, Region: "r"}
	err = st.Update(t.Context(), func(tx store.Tx) error {
		for id, text := range map[string]string{"a": policyOf("Principal", user, none), "b": policyOf("Principal", home, away), "c": "no policy", "d": "", "e": policyOf("Principal", "AROAAAAAAAAAAAAAAAAAZ")} {
			if _, err := c.Create(tx, store.Resource[spec, struct{}]{Scope: scope, ID: id, Spec: spec{Policy: text}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	upgrade := func(p people) []pin.Lost {
		t.Helper()
		lost, err := pin.Upgrade(t.Context(), st, c, p, func(r *store.Resource[spec, struct{}]) pin.Policy {
			return pin.Policy{Resource: r.ID, Text: r.Spec.Policy, Pins: &r.Spec.Pins}
		})
		if err != nil {
			t.Fatal(err)
		}
		return lost
	}
	if lost := upgrade(everybody()); len(lost) != 1 || lost[0] != (pin.Lost{Resource: "a", Principal: none}) {
		t.Errorf("lost %+v", lost)
	}
	changed := st.Changed(c.Topic())
	if lost := upgrade(people{user: "AIDAAAAAAAAAAAAAAAAAZ", none: "AROAAAAAAAAAAAAAAAAAZ"}); len(lost) != 0 {
		t.Errorf("lost %+v the second time", lost)
	}
	select {
	case <-changed:
		t.Error("the second time has written")
	default:
	}
	err = st.View(t.Context(), func(r store.Reader) error {
		a, err := c.Get(r, scope, "a")
		if want := (pin.Pins{user: userID, none: ""}); !maps.Equal(a.Spec.Pins, want) {
			t.Errorf("%v, want %v", a.Spec.Pins, want)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
