package key_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/key"
	"github.com/outcrop/outcrop/internal/secret"
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// TestBox seals as services do, under a key of an account's own.
func TestBox(t *testing.T) {
	k := newKit(t)
	made := k.makeSymmetric(t)
	if err := k.CreateAlias(t.Context(), made.Ref, "alias/vault"); err != nil {
		t.Fatal(err)
	}
	box, ref, err := k.Box(t.Context(), ours(), "alias/vault")
	if err != nil || ref != made.Ref {
		t.Fatalf("%s, %v", ref, err)
	}
	owner := secret.Owner{Scope: ours().String(), Kind: "oauth-token", ID: "a"}
	long := strings.Repeat("token ", 20000)
	sealed, err := box.Seal(t.Context(), owner, text(long))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := box.Open(t.Context(), owner, sealed); err != nil || plain.Text().Reveal() != long {
		t.Errorf("came back as %d bytes, %v", len(plain.Reveal()), err)
	}
	owner.ID = "b"
	if _, err := box.Open(t.Context(), owner, sealed); err == nil {
		t.Error("opened for another owner")
	}
	owner.ID = "a"
	if err := k.Change(t.Context(), ref, false, func(s *key.Settings) error { s.Disabled = true; return nil }); err != nil {
		t.Fatal(err)
	}
	_, err = box.Open(t.Context(), owner, sealed)
	wants(t, "open with a disabled key", err, key.CodeDisabled)
	_, err = box.Seal(t.Context(), owner, text("x"))
	wants(t, "seal with a disabled key", err, key.CodeDisabled)
	_, _, err = k.Box(t.Context(), ours(), "alias/vault")
	wants(t, "a box of a disabled key", err, key.CodeDisabled)
	_, _, err = k.Box(t.Context(), ours(), k.make(t, "RSA_2048", key.EncryptDecrypt).ID)
	wants(t, "a box of an asymmetric key", err, key.CodeInvalidUsage)
}

// TestRestart: what was acknowledged is there when the data is opened again.
func TestRestart(t *testing.T) {
	k := newKit(t)
	made := k.makeSymmetric(t)
	sealed, _, err := k.Encrypt(t.Context(), made.Ref, "", nil, text("value"))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.db.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, k.dir, k.clock)
	if plain, _, err := again.Decrypt(t.Context(), made.Ref, "", nil, sealed); err != nil || plain.Text().Reveal() != "value" {
		t.Errorf("after a restart: %v", err)
	}
}

func FuzzDecrypt(f *testing.F) {
	k := newKit(f)
	made := k.makeSymmetric(f)
	sealed, _, err := k.Encrypt(f.Context(), made.Ref, "", nil, text("value"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add(sealed[:40])
	f.Add([]byte{1, 12})
	f.Fuzz(func(t *testing.T, b []byte) {
		if string(b) == string(sealed) {
			return
		}
		if _, _, err := k.Decrypt(t.Context(), made.Ref, "", nil, b); err == nil {
			t.Fatalf("opened %x", b)
		}
		if ref, err := key.KeyOf(b); err == nil {
			if n, err := key.ParseName(ref.Scope, ref.ID); err != nil || n.ID != ref.ID {
				t.Fatalf("%x is of %s, %v", b, ref, err)
			}
		}
	})
}

func FuzzParseName(f *testing.F) {
	for _, s := range []string{"alias/a", "arn:aws:kms:us-east-1:111122223333:key/0b5b1bd1-6b2f-4b67-8d3c-1d0a4e4b7a11", "x", "arn:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := key.ParseName(ours(), s)
		if err != nil {
			return
		}
		if again, err := key.ParseName(ours(), n.ARN()); err != nil || again != n {
			t.Fatalf("%q is %+v, whose ARN is %+v, %v", s, n, again, err)
		}
	})
}

func BenchmarkKey(b *testing.B) {
	k := newKit(b)
	made := k.makeSymmetric(b)
	context := map[string]string{"SecretARN": "arn:aws:secretsmanager:us-east-1:111122223333:secret:a-AbCdEf"}
	sealed, _, err := k.Encrypt(b.Context(), made.Ref, "", context, text(strings.Repeat("k", 32)))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("decrypt", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := k.Decrypt(b.Context(), made.Ref, "", context, sealed); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, c := range []struct {
		spec key.Spec
		a    key.Algorithm
	}{{"RSA_2048", "RSASSA_PKCS1_V1_5_SHA_256"}, {"RSA_2048", "RSASSA_PSS_SHA_256"}, {"ECC_NIST_P256", "ECDSA_SHA_256"}} {
		signer := k.make(b, c.spec, key.SignVerify)
		b.Run("sign/"+string(c.a), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Sign(b.Context(), signer.Ref, c.a, text("message"), false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
