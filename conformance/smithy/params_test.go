package smithy

import (
	"encoding/base64"
	"encoding/json"
	"iter"
	stdmaps "maps"
	"net/http"
	"strings"
	"testing"
	"time"
)

func maps[V any](m map[string]V) iter.Seq[string] { return stdmaps.Keys(m) }

func canonical(name string) string { return http.CanonicalHeaderKey(name) }

// params turns an answer into what the tests expect of it: the model's names, blobs as
// they are, times in seconds since 1970, no nulls where a list or map has none.
func (s suite) params(t *testing.T, target string, v any, header http.Header) any {
	t.Helper()
	object, ok := v.(map[string]any)
	if !ok {
		t.Fatalf("%v is no object", v)
	}
	out := map[string]any{}
	for name, m := range s.Shapes[target].Members {
		key := name
		if !outside(m) {
			key = m.json(name)
		}
		item, ok := object[key]
		if !ok || item == nil {
			continue
		}
		// A payload that is text by its Content-Type is no base64.
		if text, isText := item.(string); isText && m.Traits["smithy.api#httpPayload"] != nil && strings.HasPrefix(header.Get("Content-Type"), "text/") {
			out[name] = text
			continue
		}
		out[name] = s.param(t, m.Target, m.Traits, item)
	}
	return out
}

// outside says whether a member is elsewhere than in the body's members.
func outside(m member) bool {
	for id := range m.Traits {
		if strings.HasPrefix(id, "smithy.api#http") {
			return true
		}
	}
	return false
}

func (s suite) param(t *testing.T, target string, traits map[string]json.RawMessage, v any) any {
	t.Helper()
	sh := s.Shapes[target]
	switch kind := sh.Type + strings.ToLower(strings.TrimPrefix(target, "smithy.api#")); {
	case v == nil:
		return nil
	case sh.Type == "blob" || target == "smithy.api#Blob":
		b, err := base64.StdEncoding.DecodeString(v.(string))
		if err != nil {
			t.Error(err)
		}
		return string(b)
	case sh.Type == "timestamp" || kind == "timestamp":
		return seconds(t, v)
	case sh.Type == "list" || sh.Type == "set":
		out := []any{}
		for _, item := range v.([]any) {
			if item != nil || sh.Traits["smithy.api#sparse"] != nil {
				out = append(out, s.param(t, sh.Member.Target, sh.Member.Traits, item))
			}
		}
		return out
	case sh.Type == "map":
		out := map[string]any{}
		for k, item := range v.(map[string]any) {
			if item != nil || sh.Traits["smithy.api#sparse"] != nil {
				out[k] = s.param(t, sh.Value.Target, sh.Value.Traits, item)
			}
		}
		return out
	case sh.Type == "structure" || sh.Type == "union":
		return s.params(t, target, v, nil)
	}
	return v
}

// seconds reads a time in any of the three forms.
func seconds(t *testing.T, v any) any {
	t.Helper()
	text, ok := v.(string)
	if !ok {
		return v
	}
	for _, layout := range []string{time.RFC3339Nano, http.TimeFormat, "Mon, 02 Jan 2006 15:04:05.999999999 GMT"} {
		if at, err := time.Parse(layout, text); err == nil {
			return float64(at.UnixMilli()) / 1000
		}
	}
	t.Errorf("%q is no time", text)
	return nil
}
