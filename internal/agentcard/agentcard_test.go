package agentcard

import (
	"encoding/json"
	"testing"
)

func TestWithURL(t *testing.T) {
	const url = "http://here/runtimes/a/invocations"
	for _, tt := range []struct{ name, card, want string }{
		{"0.3", `{"url":"http://localhost:9000/","name":"a","additionalInterfaces":[{"url":"x","transport":"JSONRPC"}]}`,
			`{"url":"` + url + `","name":"a","additionalInterfaces":[{"url":"` + url + `","transport":"JSONRPC"}]}`},
		{"1.0", ` {"name":"b","supportedInterfaces":[{"protocolBinding":"JSONRPC","url":""},{"url":"y"},7] ,"provider":{"url":"http://acme"}}`,
			`{"name":"b","supportedInterfaces":[{"protocolBinding":"JSONRPC","url":"` + url + `"},{"url":"` + url + `"},7],"provider":{"url":"http://acme"}}`},
		{"none", `{"name":"c","skills":[{"url":"z"}],"n":1e2}`, `{"name":"c","skills":[{"url":"z"}],"n":1e2}`},
		{"odd", `{"url":null,"supportedInterfaces":{"url":"x"}}`, `{"url":null,"supportedInterfaces":{"url":"x"}}`},
		{"empty", `{}`, `{}`},
	} {
		got, err := WithURL([]byte(tt.card), url)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %s, %v; want %s", tt.name, got, err, tt.want)
		}
	}
	for _, card := range []string{``, `[]`, `"x"`, `{`, `{"url":`, `{"a":1}x`, `{"supportedInterfaces":[{"url":1`, `<html>`} {
		if got, err := WithURL([]byte(card), url); err == nil {
			t.Errorf("%q became %s", card, got)
		}
	}
}

func FuzzWithURL(f *testing.F) {
	f.Add([]byte(`{"url":"u","supportedInterfaces":[{"url":"x"}],"a":{"b":[1,2]}}`))
	f.Add([]byte(`{"additionalInterfaces":[[],{}]}`))
	f.Fuzz(func(t *testing.T, card []byte) {
		got, err := WithURL(card, "http://here")
		if err != nil {
			return
		}
		var before, after map[string]any
		if json.Unmarshal(card, &before) != nil || json.Unmarshal(got, &after) != nil || len(before) != len(after) {
			t.Fatalf("%q became %q", card, got)
		}
		if u, ok := before["url"].(string); ok && after["url"] != "http://here" {
			t.Errorf("%q is %v, was %q", card, after["url"], u)
		}
	})
}
