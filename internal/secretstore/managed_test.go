package secretstore_test

import (
	"errors"
	"strconv"
	"testing"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/secretstore"
	"github.com/outcrop/outcrop/internal/store"
)

func (k *kit) write(t *testing.T, d *secretstore.Draft, err error) (secretstore.Secret, error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var out secretstore.Secret
	err = k.db.Update(t.Context(), func(tx store.Tx) (err error) {
		out, err = d.Write(tx)
		return err
	})
	return out, err
}

func (k *kit) managed(t *testing.T, name, value string) (secretstore.Secret, error) {
	t.Helper()
	d, err := k.NewManaged(t.Context(), ours(), secretstore.IdentityService, name, secret.NewString(`{"api_key_value":`+strconv.Quote(value)+`}`))
	return k.write(t, d, err)
}

// TestManaged is the life of a provider's secret, and what callers try meanwhile.
func TestManaged(t *testing.T) {
	k := newKit(t)
	name := "bedrock-agentcore-identity!default/apikey/search"
	made, err := k.managed(t, name, `a"key`)
	if err != nil || made.Service != secretstore.IdentityService {
		t.Fatalf("%+v, %v", made, err)
	}
	for _, id := range []string{name, made.ARN()} {
		if got, _, err := k.Member(t.Context(), ours(), id, "api_key_value"); err != nil || got.Reveal() != `a"key` {
			t.Errorf("read as %q, %v", got.Reveal(), err)
		}
	}
	if s, there, err := k.Settings(t.Context(), made.ARN()); err != nil || !there || s.Tags["aws:secretsmanager:owningService"] != secretstore.IdentityService || made.Tags != nil {
		t.Errorf("policies see %+v, %v", s, err)
	}
	_, err = k.managed(t, name, "other")
	wants(t, "twice", err, secretstore.CodeExists, "already exists")
	const refused = "managed by bedrock-agentcore-identity"
	for what, try := range map[string]func() error{
		"put": func() error { _, _, err := k.Put(t.Context(), made.Ref, token(1), *content("x"), nil); return err },
		"update": func() error {
			_, _, err := k.Update(t.Context(), made.Ref, token(1), content("x"), func(*secretstore.Settings) {})
			return err
		},
		"change": func() error {
			_, err := k.Change(t.Context(), made.Ref, func(*secretstore.Settings) error { return nil })
			return err
		},
		"move":    func() error { _, err := k.MoveStage(t.Context(), made.Ref, "A", "", made.Versions[0].ID); return err },
		"delete":  func() error { _, err := k.Delete(t.Context(), made.Ref, 7); return err },
		"remove":  func() error { return k.Remove(t.Context(), made.Ref) },
		"restore": func() error { _, err := k.Restore(t.Context(), made.Ref); return err },
		"another service": func() error {
			return k.db.Update(t.Context(), func(tx store.Tx) error { return k.DeleteManaged(tx, ours(), "rds", name) })
		},
		"no service": func() error {
			return k.db.Update(t.Context(), func(tx store.Tx) error { return k.DeleteManaged(tx, ours(), "", name) })
		},
		"create one": func() error {
			_, err := k.Create(t.Context(), ours(), "bedrock-agentcore-identity!default/oauth2/x", secretstore.Settings{}, token(0), content("x"))
			return err
		},
		"create it": func() error {
			_, err := k.Create(t.Context(), ours(), name, secretstore.Settings{}, made.Versions[0].ID, content("x"))
			return err
		},
	} {
		wants(t, what, try(), secretstore.CodeInvalidRequest, refused)
	}
	own := k.create(t, "own", "x")
	_, err = k.RotateManaged(t.Context(), ours(), secretstore.IdentityService, own.ARN(), secret.NewString("y"))
	wants(t, "rotate a caller's", err, secretstore.CodeInvalidRequest, "not one that a service manages")
	d, err := k.RotateManaged(t.Context(), ours(), secretstore.IdentityService, made.ARN(), secret.NewString(`{"api_key_value":"second"}`))
	if after, err := k.write(t, d, err); err != nil || after.ARN() != made.ARN() || len(after.Versions) != 2 {
		t.Errorf("%+v, %v", after, err)
	}
	if got, _, err := k.Member(t.Context(), ours(), made.ARN(), "api_key_value"); err != nil || got.Reveal() != "second" {
		t.Errorf("read as %q, %v", got.Reveal(), err)
	}
	for range 2 { // the second finds nothing
		if err := k.db.Update(t.Context(), func(tx store.Tx) error {
			return k.DeleteManaged(tx, ours(), secretstore.IdentityService, made.ARN())
		}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := k.managed(t, name, "again"); err != nil {
		t.Errorf("the name is not free: %v", err)
	}
}

// TestWrittenTogether: a transaction that fails takes the secret with it.
func TestWrittenTogether(t *testing.T) {
	k := newKit(t)
	d, err := k.NewManaged(t.Context(), ours(), secretstore.IdentityService, "bedrock-agentcore-identity!default/apikey/p", secret.NewString("x"))
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("the provider cannot be made")
	err = k.db.Update(t.Context(), func(tx store.Tx) error {
		if _, err := d.Write(tx); err != nil {
			return err
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	k.empty(t)
}

func TestMember(t *testing.T) {
	k := newKit(t)
	k.create(t, "good", `{"key":"value","n":1,"none":null,"in":{"key":"x"}}`)
	k.create(t, "list", `["key"]`)
	k.create(t, "text", "hunter2")
	k.create(t, "null", "null")
	if got, of, err := k.Member(t.Context(), ours(), "good", "key"); err != nil || got.Reveal() != "value" || of.Name != "good" {
		t.Errorf("%q, %v", got.Reveal(), err)
	}
	for _, c := range []struct{ id, member, text string }{
		{"good", "other", "has no member 'other'"}, {"good", "n", "is no text"}, {"good", "none", "is no text"}, {"good", "in", "is no text"},
		{"list", "key", "is no JSON object"}, {"text", "key", "is no JSON object"}, {"null", "key", "is no JSON object"},
	} {
		_, _, err := k.Member(t.Context(), ours(), c.id, c.member)
		wants(t, c.id+" "+c.member, err, "ValidationException", c.text)
		if f, ok := errors.AsType[*fault.Error](err); ok && c.id == "text" && f.Unwrap() != nil {
			t.Errorf("the refusal has a cause: %v", f.Unwrap())
		}
	}
	_, _, err := k.Member(t.Context(), ours(), "none", "key")
	wants(t, "no secret", err, secretstore.CodeNotFound, "can't find")
}

func FuzzFind(f *testing.F) {
	k := newKit(f)
	made := k.create(f, "app/a-b", "x")
	f.Add("app/a-b")
	f.Add(made.ARN())
	f.Add("arn:aws:secretsmanager:us-east-1:111122223333:secret:")
	f.Fuzz(func(t *testing.T, id string) {
		found, err := k.Find(t.Context(), ours(), id)
		if _, ok := errors.AsType[*fault.Error](err); err != nil && !ok {
			t.Fatalf("%q: %v", id, err)
		}
		if err == nil && id != found.Name && id != found.ARN() && id != secretstore.ARN(ours(), found.Name) {
			t.Fatalf("%q is %s", id, found.ARN())
		}
	})
}

func BenchmarkValue(b *testing.B) {
	k := newKit(b)
	made := k.create(b, "a", `{"password":"hunter2"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := k.Value(b.Context(), made.Ref, "", ""); err != nil {
			b.Fatal(err)
		}
	}
}
