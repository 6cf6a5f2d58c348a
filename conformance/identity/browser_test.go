package identity

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// browser walks the pages of the server as a person would, without scripts.
type browser struct {
	*testing.T
	http *http.Client
}

// newBrowser returns one that follows redirects up to those that leave for callback.
func newBrowser(t *testing.T, callback string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t, &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), callback) {
			return http.ErrUseLastResponse
		}
		return nil
	}}}
}

// view is a page, or the address at the client that a redirect led to.
type view struct {
	status int
	text   string
	at     *url.URL
	left   *url.URL
}

func (b *browser) read(resp *http.Response, err error) view {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	v := view{status: resp.StatusCode, text: string(body), at: resp.Request.URL}
	if to, err := resp.Location(); err == nil {
		v.left = to
	}
	return v
}

func (b *browser) get(at string) view {
	b.Helper()
	return b.read(b.http.Get(at))
}

// send fills in the fields of the page's form and presses the button that says
// action.
func (b *browser) send(v view, action string, fields map[string]string) view {
	b.Helper()
	doc, err := html.Parse(strings.NewReader(v.text))
	if err != nil {
		b.Fatal(err)
	}
	to, values := "", url.Values{"action": {action}}
	for n := range doc.Descendants() {
		switch n.Data {
		case "form":
			to = attribute(n, "action")
		case "input":
			values.Set(attribute(n, "name"), attribute(n, "value"))
		case "script":
			b.Error("the page has a script")
		}
	}
	if to == "" {
		b.Fatalf("there is no form: %d %s", v.status, v.text)
	}
	for name, value := range fields {
		if !values.Has(name) {
			b.Errorf("the form has no field %s", name)
		}
		values.Set(name, value)
	}
	target, err := v.at.Parse(to)
	if err != nil {
		b.Fatal(err)
	}
	return b.read(b.http.PostForm(target.String(), values))
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
