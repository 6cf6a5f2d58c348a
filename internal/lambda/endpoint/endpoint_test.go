package endpoint

import "testing"

func TestParse(t *testing.T) {
	for text, ok := range map[string]bool{
		"http://127.0.0.1:4566": true, "https://lambda.example/base": true, "http://h:9000/2015-03-31/functions/function/invocations": true,
		"": false, "127.0.0.1:4566": false, "ftp://h": false, "http://": false, "http://u:p@h": false, "http://h?x": false, "http://h#x": false, "http://h/\x7f": false,
	} {
		if _, err := Parse(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}
