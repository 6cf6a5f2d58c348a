package search

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func termsOf(text string) string {
	var out []string
	newAnalyzer().terms(tokens(text), func(term string, _ float64) { out = append(out, term) })
	return strings.Join(out, " ")
}

// TestTerms says what texts are cut into.
func TestTerms(t *testing.T) {
	for text, want := range map[string]string{
		"createUserAccount":   "createuseraccount creat user account",
		"HTTPServer":          "httpserver http server",
		"list_pull-requests":  "list pull request",
		"GitHub's issues":     "github git hub issu",
		"don't":               "don",
		"S3Bucket":            "s3bucket bucket",
		"EC2 base64Encode":    "ec2 ec base64encode base 64 encod",
		"ＡＢＣ　１２３":             "abc 123",
		"Café Über naïve":     "cafe uber naiv",
		"Ελλάδα":              "ελλαδα",
		"天気":                  "天 天気 気",
		"サーバー":                "サー ーバ",
		"ｻｰﾊﾞｰ":               "サー ーバ",
		"を":                   "を",
		"メールを送る":              "メー ール ルを を送 送 送る",
		"EC2インスタンス":           "ec2 ec イン ンス スタ タン ンス",
		"날씨 확인":               "날씨 확인",
		"iOS":                 "io os",
		"\xff\xfe a\xffb":     "a b",
		"https://example.com": "https exampl com",
	} {
		if got := termsOf(text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// TestLexicon reads the words that come with the program.
func TestLexicon(t *testing.T) {
	l := words()
	if len(l) < 600 {
		t.Errorf("%d words", len(l))
	}
	for word, others := range l {
		if len(others) == 0 {
			t.Errorf("%s stands alone", word)
		}
		if n := utf8.RuneCountInString(word); n > maxLexeme && !('a' <= word[0] && word[0] <= 'z') {
			t.Errorf("%s is never looked up: it has %d characters", word, n)
		}
	}
	var got []string
	l.expand(newAnalyzer(), token{"請求書を削除", true}, func(_, term string, _ float64) { got = append(got, term) })
	if !slices.Contains(got, "invoic") || !slices.Contains(got, "delet") || slices.Contains(got, "book") {
		t.Errorf("%v", got)
	}
}

// TestParameters walks schemas of all kinds.
func TestParameters(t *testing.T) {
	for schema, want := range map[string]string{
		`{"properties":{"b":{"description":"B!"},"a":{"title":"A!"}}}`:                                 "[a b] [A! B!]",
		`{"properties":{"x":true,"y":null,"z":{"type":"array","items":{"properties":{"in":{}}}}}}`:     "[x y z in] []",
		`{"anyOf":[{"properties":{"p":{}}},true],"properties":{"q":{"enum":["on",1]}}}`:                "[q p] [on]",
		`{"description":7,"properties":{"p":{"description":["x"],"items":[{"properties":{"r":{}}}]}}}`: "[p] []",
		`{"properties":{"p":{"properties":{"p":{"properties":{"p":{"properties":{"deep":{}}}}}}}}}`:    "[p p p deep] []",
		`nothing`: "[] []", ``: "[] []", `[]`: "[] []", `"x"`: "[] []", `{"properties":{"a":{}}} and more`: "[] []",
	} {
		names, texts := parameters([]byte(schema))
		if got := "[" + strings.Join(names, " ") + "] [" + strings.Join(texts, " ") + "]"; got != want {
			t.Errorf("%s: %s, want %s", schema, got, want)
		}
	}
}

// FuzzTerms holds the bounds of terms, whatever a text is.
func FuzzTerms(f *testing.F) {
	for _, text := range []string{"createUser's HTTPServer2", "ｻｰﾊﾞｰを送る날씨", "\xff\ufdfaﷺ", "ーーー'’s", "éé\u0301", `{"properties":{"a":{"items":{"enum":["x"]}}}}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all := tokens(text)
		again := 0
		newAnalyzer().terms(all, func(term string, weight float64) {
			again++
			if term == "" || len(term) > maxWord+utf8.UTFMax || !utf8.ValidString(term) || weight <= 0 || weight > 1 {
				t.Errorf("%q weighs %v", term, weight)
			}
		})
		if again > 4*maxText {
			t.Errorf("%d terms", again)
		}
		x := New([]Entry{{ID: text}})
		x.Search(text, Most, nil)
		if got := x.terms(text); len(got) > maxTerms {
			t.Errorf("%d terms of a query", len(got))
		}
		names, texts := parameters([]byte(text))
		if len(names) > maxParameters || len(texts) > (2+maxParameters)*maxParameters {
			t.Errorf("%d and %d of a schema", len(names), len(texts))
		}
	})
}
