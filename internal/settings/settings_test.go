package settings

import (
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
)

// TestDecode names what is wrong with a file.
func TestDecode(t *testing.T) {
	for text, want := range map[string]string{
		`{"name":"a"}`:                 "",
		"{\n\n\"name\": }":             "it is not JSON: line 3",
		`{"name":5}`:                   "name must not be a number",
		`{"other":5}`:                  `it has a member "other", which is unknown`,
		`{"apiKey":"x"}`:               "never written here",
		`{} {}`:                        "there is something after its JSON object",
		``:                             "it is empty. Write a JSON object, {} at least",
		`{`:                            "it is not JSON: it ends before its JSON object does",
		strings.Repeat(" ", MaxFile+1): "it is longer than 1024 KiB",
	} {
		var to struct {
			Name string `json:"name"`
		}
		if err := Decode([]byte(text), &to); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.20s: %v, want %q", text, err, want)
		} else if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%.20s: %v is taken for a connection that was lost", text, err)
		}
	}
}

// TestKey reads keys where they are said to be, and never repeats them.
func TestKey(t *testing.T) {
	h := Host{
		Getenv: func(name string) string { return map[string]string{"KEY": " k\n", "EMPTY": " "}[name] },
		ReadFile: func(path string) ([]byte, error) {
			if path == "empty" {
				return nil, nil
			} else if path == "none" {
				return nil, fs.ErrNotExist
			}
			return []byte("f\n"), nil
		},
	}
	for _, tt := range []struct {
		key  Key
		host Host
		want string
		err  string
	}{
		{Key{}, h, "", ""}, {Key{APIKeyEnv: "KEY"}, h, "k", ""}, {Key{APIKeyFile: "file"}, h, "f", ""},
		{Key{APIKeyEnv: "EMPTY"}, h, "", "the variable EMPTY is not set"}, {Key{APIKeyEnv: "KEY"}, Host{}, "", "is not set"},
		{Key{APIKeyFile: "empty"}, h, "", "empty is empty"}, {Key{APIKeyFile: "none"}, h, "", "apiKeyFile: file does not exist"}, {Key{APIKeyFile: "file"}, Host{}, "", "cannot be read here"},
	} {
		got, err := tt.key.Read(tt.host)
		if got.Reveal() != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%+v: %q %v", tt.key, got.Reveal(), err)
		}
	}
}

// TestProblems gathers what is wrong with URLs and keys.
func TestProblems(t *testing.T) {
	var p Problems
	CheckURL("a", "https://ok.test/x", &p)
	Key{APIKeyEnv: "OK"}.Check("a", &p)
	if p.Err() != nil {
		t.Error(p.Err())
	}
	CheckURL("b", "ftp://x", &p)
	CheckURL("c", "https://u:p@x", &p)
	Key{APIKeyEnv: "sk-1", APIKeyFile: "f"}.Check("d", &p)
	const want = "b must be an http or https URL\nc must have neither credentials nor a query nor a fragment\nd.apiKeyEnv must be the name of a variable, not a key\nd has apiKeyEnv and apiKeyFile; one is enough"
	if err := p.Err(); err == nil || err.Error() != want || errors.Unwrap(err) != nil {
		t.Error(err)
	}
}

// TestUnknown says where the member is that is unknown, and what is known there.
func TestUnknown(t *testing.T) {
	type service struct {
		URL string `json:"url"`
		Key
	}
	for text, want := range map[string]string{
		`{"search":{"uri":"x"}}`:                     `it has a member "search.uri", which is unknown; known are url, apiKeyEnv, apiKeyFile`,
		`{"all":{"a":{"url":"x"},"b":{"urls":"x"}}}`: `it has a member "all.b.urls", which is unknown; known are url, apiKeyEnv, apiKeyFile`,
		`{"list":[{},{"x":1}]}`:                      `it has a member "list[1].x", which is unknown; known are url, apiKeyEnv, apiKeyFile`,
		`{"searches":{}}`:                            `it has a member "searches", which is unknown; known are search, all, list`,
		`{"search":{"apikey":"x"}}`:                  `it has a member "search.apikey", which is unknown; a key is named by apiKeyEnv`,
		`{"search":{"URL":"x"}} x`:                   "there is something after its JSON object",
	} {
		var to struct {
			Search *service           `json:"search"`
			All    map[string]service `json:"all"`
			List   []service          `json:"list"`
		}
		if err := Decode([]byte(text), &to); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"name":"a"}`))
	f.Add([]byte(`{"all":{"x":[{"other":1}]}}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		var to struct {
			Name string
			All  map[string][]struct{ Name string }
			Key
		}
		_ = Decode(data, &to)
	})
}
