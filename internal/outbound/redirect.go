package outbound

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
)

// redirect says whether the client follows one. An answer to what is not repeated
// is returned as it came.
func redirect(r *http.Request, via []*http.Request) error {
	first, last := via[0], via[len(via)-1]
	switch {
	case first.Method != http.MethodGet && first.Method != http.MethodHead:
		return http.ErrUseLastResponse
	case len(via) > MaxRedirects:
		return &Refused{Host: r.URL.Host, Reason: fmt.Sprintf("there are more than %d redirects", MaxRedirects)}
	case last.URL.Scheme == "https" && r.URL.Scheme != "https":
		return &Refused{Host: r.URL.Host, Reason: "it is a redirect from https to " + r.URL.Scheme}
	}
	if slices.ContainsFunc(append(via[1:len(via):len(via)], r), func(hop *http.Request) bool {
		return hop.URL.Scheme != first.URL.Scheme || hop.URL.Host != first.URL.Host
	}) {
		r.Header = harmless(r.Header)
	}
	return nil
}

// harmless keeps the headers that cannot hold a credential: any other may be the
// one in which some service takes its key.
func harmless(h http.Header) http.Header {
	out := http.Header{}
	for _, name := range [...]string{"Accept", "Accept-Language", "User-Agent"} {
		if v := h.Values(name); len(v) > 0 {
			out[name] = v
		}
	}
	return out
}

// astray tells whether redirects led to another host than the one that was asked
// for, on the way or in the end.
func astray(r *http.Request) bool {
	at := r
	for at.Response != nil && at.Response.Request != nil {
		before := at.Response.Request
		if !sameHost(before.URL, at.URL) {
			return true
		}
		at = before
	}
	return false
}

// sameHost compares without ports: a service may well send us from one to another.
func sameHost(a, b *url.URL) bool { return hostOf(a.Hostname()) == hostOf(b.Hostname()) }
