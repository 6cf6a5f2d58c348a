package credential

import (
	"encoding/json"
	"errors"
	"testing"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/gateway/target"
)

func FuzzMeta(f *testing.F) {
	for _, s := range []string{
		``, `{}`, `null`, `[]`, `{"progressToken":1}`, `{"` + metaKey + `":null}`, `{"` + metaKey + `":{"oauthCredentialProvider":{"returnUrl":"https://a/","forceAuthentication":true}}}`,
		`{"` + capabilitiesKey + `":{"elicitation":{"url":{}}}}`, `{"` + capabilitiesKey + `":{"elicitation":[]}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, meta []byte) {
		w, err := parseMeta(meta)
		visits(meta)
		var rpc *target.Error
		if err != nil && (!errors.As(err, &rpc) || w != wish{}) {
			t.Fatalf("%v with %+v", err, w)
		}
		if w != (wish{}) && !json.Valid(meta) || utf8.RuneCountInString(w.ReturnURL) > maxReturnURL {
			t.Fatalf("%q is read as %+v", meta, w)
		}
	})
}
