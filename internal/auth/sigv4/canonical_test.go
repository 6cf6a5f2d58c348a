package sigv4

import (
	"bufio"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestPath(t *testing.T) {
	tests := []struct{ sent, normal, raw string }{
		{"", "/", "/"},
		{"/", "/", "/"},
		{"/runtimes/arn%3Aaws%3Abedrock/x", "/runtimes/arn%253Aaws%253Abedrock/x", "/runtimes/arn%3Aaws%3Abedrock/x"},
		{"/a%2fb", "/a%252fb", "/a/b"},
		{"/a b", "/a%20b", "/a%20b"},
		{"/a+b:c@d", "/a%2Bb%3Ac%40d", "/a%2Bb%3Ac%40d"},
		{"/-._~", "/-._~", "/-._~"},
		{"/ሴ", "/%E1%88%B4", "/%E1%88%B4"},
		{"//a///b//", "/a/b/", "//a///b//"},
		{"/./a/../b/.", "/b", "/./a/../b/."},
		{"/a/..", "/", "/a/.."},
		{"/../../a", "/a", "/../../a"},
		{"/a/.b/..c", "/a/.b/..c", "/a/.b/..c"},
		{"/100%", "/100%25", "/100%25"},
		{"/%zz", "/%25zz", "/%25zz"},
	}
	for _, tt := range tests {
		if got := string(appendPath(nil, tt.sent, false)); got != tt.normal {
			t.Errorf("path %q = %q, want %q", tt.sent, got, tt.normal)
		}
		if got := string(appendPath(nil, tt.sent, true)); got != tt.raw {
			t.Errorf("S3 path %q = %q, want %q", tt.sent, got, tt.raw)
		}
	}
}

// TestPathAsSent reads targets the way net/http hands them over.
func TestPathAsSent(t *testing.T) {
	for target, want := range map[string]string{
		"/x%2Fy?a=/b":              "/x%2Fy",
		"//host/x":                 "//host/x",
		"http://h/a%2Fb:c?q=1":     "/a%2Fb:c", // through a proxy
		"HTTP://h:80//a?http://x/": "//a",
		"http://h":                 "/",
		"http://h?a=/b":            "/",
		"a:/b/c":                   "/b/c", // a scheme, but no authority
		"a:/b/c://d/e":             "/b/c://d/e",
		"a:///b":                   "/b",
		"*":                        "*",
	} {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n")))
		if err != nil {
			t.Fatal(err)
		}
		if got := Path(r); got != want {
			t.Errorf("target %q: path %q, want %q", target, got, want)
		}
	}
	// What a program makes itself has no target.
	if got := Path(&http.Request{URL: &url.URL{Path: "/a b"}}); got != "/a%20b" {
		t.Errorf("no target: path %q", got)
	}
}

func TestQuery(t *testing.T) {
	tests := []struct {
		raw       string
		presigned bool
		want      string
		bad       bool
	}{
		{raw: "", want: ""},
		{raw: "b=2&a=1", want: "a=1&b=2"},
		{raw: "a=2&a=1&a=10", want: "a=1&a=10&a=2"},
		{raw: "a=1&a=1", want: "a=1&a=1"},
		{raw: "acl", want: "acl="},
		{raw: "acl=", want: "acl="},
		{raw: "=v", want: "=v"},
		{raw: "&&a=1&", want: "a=1"},
		{raw: "a=b=c", want: "a=b%3Dc"},
		{raw: "a=x+y&b=x%20y&c=x%2By", want: "a=x%20y&b=x%20y&c=x%2By"},
		{raw: "q=%7e%2d%c3%a9", want: "q=~-%C3%A9"},
		{raw: "A=1&a=2&%61=1", want: "A=1&a=1&a=2"},
		{raw: "a-b=1&a=2&a.b=3", want: "a=2&a-b=1&a.b=3"},
		{raw: "k=a;b", want: "k=a%3Bb"},
		{raw: "ሴ=bar", want: "%E1%88%B4=bar"},
		{raw: "X-Amz-Signature=s&a=1", want: "X-Amz-Signature=s&a=1"},
		{raw: "X-Amz-Signature=s&a=1", presigned: true, want: "a=1"},
		{raw: "X%2DAmz-Signature=s&a=1", presigned: true, want: "a=1"},
		{raw: "a=%", bad: true},
		{raw: "a=%4", bad: true},
		{raw: "%g0=1", bad: true},
		{raw: strings.Repeat("a&", maxParams), want: strings.TrimSuffix(strings.Repeat("a=&", maxParams), "&")},
		{raw: strings.Repeat("a&", maxParams+1), bad: true},
	}
	for _, tt := range tests {
		var s scratch
		got, err := s.appendQuery(nil, tt.raw, tt.presigned)
		if (err != nil) != tt.bad || !tt.bad && string(got) != tt.want {
			t.Errorf("query %.40q = %.80q, %v; want %.80q", tt.raw, got, err, tt.want)
		}
	}
}

func TestHeaderValue(t *testing.T) {
	r := &http.Request{
		Header: http.Header{
			"X-Many":  {" b ", "a", ""},
			"X-Blank": {"  a   b\t\tc  \" d  e \" "},
			"X-Empty": {""},
		},
		ContentLength:    7,
		TransferEncoding: []string{"chunked"},
	}
	tests := []struct {
		name, want string
		absent     bool
	}{
		{name: "x-many", want: "b,a,"},
		{name: "x-blank", want: "a b\t\tc \" d e \""},
		{name: "x-empty", want: ""},
		{name: "content-length", want: "7"},
		{name: "transfer-encoding", want: "chunked"},
		{name: "x-gone", absent: true},
	}
	for _, tt := range tests {
		got, ok := appendHeader(nil, r, tt.name)
		if ok == tt.absent || string(got) != tt.want {
			t.Errorf("header %s = %q, %v; want %q", tt.name, got, ok, tt.want)
		}
	}
}

func FuzzQuery(f *testing.F) {
	for _, s := range []string{"", "a=1&b=2", "X-Amz-Signature=x&a=%20+", "%", "a=b=c&&;", "ሴ=%e1%88%b4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		var s scratch
		got, err := s.appendQuery(nil, raw, false)
		if err != nil {
			return
		}
		// What is verified is what net/url understands, where it understands.
		if values, perr := url.ParseQuery(raw); perr == nil {
			n := 0
			for k, vs := range values {
				n += len(vs)
				for _, v := range vs {
					pair := string(must(appendRecoded(nil, url.QueryEscape(k)))) + "=" + string(must(appendRecoded(nil, url.QueryEscape(v))))
					if !slices.Contains(strings.Split(string(got), "&"), pair) {
						t.Fatalf("query %q = %q lacks %q", raw, got, pair)
					}
				}
			}
			if len(got) > 0 && n != strings.Count(string(got), "&")+1 {
				t.Fatalf("query %q = %q has not %d parameters", raw, got, n)
			}
		}
		// Canonical means that doing it again changes nothing.
		again, err := s.appendQuery(nil, string(got), false)
		if err != nil || string(again) != string(got) {
			t.Fatalf("query %q: %q became %q, %v", raw, got, again, err)
		}
	})
}

func must(b []byte, ok bool) []byte {
	if !ok {
		return nil
	}
	return b
}

func FuzzParse(f *testing.F) {
	good := "AWS4-HMAC-SHA256 Credential=A/20150830/r/s/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + strings.Repeat("0a", 32)
	for _, s := range []string{good, "", "Bearer x", "AWS4-HMAC-SHA256", strings.ReplaceAll(good, ", ", ",")} {
		f.Add(s, "20150830T123600Z", "a=1")
	}
	f.Add("", "", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F20150830%2Fr%2Fs%2Faws4_request&X-Amz-Date=20150830T123600Z"+
		"&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature="+strings.Repeat("0a", 32))
	f.Fuzz(func(t *testing.T, authorization, date, query string) {
		r := &http.Request{Header: http.Header{}, URL: &url.URL{Path: "/", RawQuery: query}}
		if authorization != "" {
			r.Header["Authorization"] = []string{authorization}
		}
		r.Header["X-Amz-Date"] = []string{date}
		c, err := Parse(r)
		if err != nil {
			if e, ok := err.(*Error); !ok || e.Kind == 0 || e.Kind >= kinds {
				t.Fatalf("error %v is not a refusal", err)
			}
			for _, f := range []Family{JSON, S3, Query} {
				if fe := f.Fault(err); fe.Status >= 500 || fe.Code == "" || fe.Message == "" {
					t.Fatalf("%v in family %d is %+v", err, f, fe)
				}
			}
			return
		}
		if c.AccessKeyID == "" || c.Region == "" || c.Service == "" || len(c.signature) != 32 || c.Time.IsZero() ||
			!slices.IsSorted(c.SignedHeaders) || c.Expires < 0 || c.Expires > Week || c.Presigned == (authorization != "") {
			t.Fatalf("accepted %+v", c)
		}
	})
}
