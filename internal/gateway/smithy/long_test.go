package smithy_test

import (
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/gateway/smithy"
)

// TestLongPath refuses a path that an argument makes too long by being in it often.
func TestLongPath(t *testing.T) {
	m, err := smithy.Parse([]byte(`{"smithy":"2.0","shapes":{"a#S":{"type":"service","version":"1","operations":[{"target":"a#O"}],"traits":{"aws.protocols#restJson1":{}}},
		"a#O":{"type":"operation","input":{"target":"a#I"},"traits":{"smithy.api#http":{"method":"GET","uri":"/`+strings.Repeat("{a}", 2000)+`","code":200}}},
		"a#I":{"type":"structure","members":{"a":{"target":"smithy.api#String","traits":{"smithy.api#httpLabel":{},"smithy.api#required":{}}}}}}}`), smithy.Options{BaseURL: "https://x.example"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Request(t.Context(), "O", []byte(`{"a":"`+strings.Repeat("x", 5<<20)+`"}`)); err == nil || !strings.Contains(err.Error(), "makes a path of more than 65536 bytes") {
		t.Errorf("%.200v", err)
	}
	if r, err := m.Request(t.Context(), "O", []byte(`{"a":"x"}`)); err != nil || len(r.HTTP.URL.Path) != 2001 {
		t.Errorf("%.200v", err)
	}
}
