package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/secret"
)

type hidden struct{ s secret.String }

type hiddenBytes struct {
	b secret.Bytes
	p *secret.Bytes
}

// TestNothingShows prints secrets in every way a program prints things.
func TestNothingShows(t *testing.T) {
	const text = "hush-hush"
	s, b := secret.NewString(text), secret.NewBytes([]byte(text))
	values := []any{s, &s, b, &b, hidden{s}, &hidden{s}, hiddenBytes{b, &b}, struct{ S secret.String }{s},
		[]secret.String{s}, map[string]secret.Bytes{"k": b}, struct{ B *secret.Bytes }{&b}}
	// The bytes of the text as fmt would print a slice of them.
	numbers := strings.Trim(fmt.Sprint([]byte(text)), "[]")
	for _, v := range values {
		var out strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v)
		j, err := json.Marshal(v)
		if err != nil {
			t.Errorf("%T: %v", v, err)
		}
		out.Write(j)
		for _, leak := range []string{text, numbers, fmt.Sprintf("%x", text), fmt.Sprintf("%X", text), "aHVzaC1odXNo"} {
			if strings.Contains(out.String(), leak) {
				t.Errorf("%T shows %q:\n%s", v, leak, out.String())
			}
		}
	}
	if got := fmt.Sprintf("%v %s", s, b); got != "[redacted] [redacted]" {
		t.Errorf("it prints as %q", got)
	}
	//lint:ignore SA9005 that nothing can be read into it is the point
	if err := json.Unmarshal([]byte(`"[redacted]"`), new(secret.String)); err == nil {
		t.Error("a redacted secret was read back as if it were one")
	}
}

func TestReveal(t *testing.T) {
	s := secret.NewString("x")
	if s.Reveal() != "x" || s.Empty() || !s.Equal(secret.NewString("x")) || s.Equal(secret.NewString("y")) || s.Equal(secret.String{}) {
		t.Error("a String is not what it was made of")
	}
	if z := (secret.String{}); z.Reveal() != "" || !z.Empty() || !z.Equal(secret.NewString("")) {
		t.Error("the zero String is not empty")
	}
	raw := []byte("abc")
	b := secret.NewBytes(raw)
	raw[0] = 'z'
	if string(b.Reveal()) != "abc" || b.Empty() || !b.Equal(secret.NewBytes([]byte("abc"))) || b.Equal(secret.Bytes{}) {
		t.Error("Bytes are not what they were made of")
	}
	if z := (secret.Bytes{}); z.Reveal() != nil || !z.Empty() {
		t.Error("the zero Bytes are not empty")
	}
	if b.Text().Reveal() != "abc" || !bytes.Equal(s.Bytes().Reveal(), []byte("x")) {
		t.Error("a conversion changed the value")
	}
}
