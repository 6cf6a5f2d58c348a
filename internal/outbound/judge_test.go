package outbound

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"testing"
)

// TestJudge: what a client would refuse is known without a call, and a name whose addresses
// cannot be had now is not held against anybody.
func TestJudge(t *testing.T) {
	names := map[string][]netip.Addr{
		"public.example":  {netip.MustParseAddr("93.184.216.34")},
		"private.example": {netip.MustParseAddr("10.0.0.1")},
		"both.example":    {netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("93.184.216.34")},
	}
	lookup := func(_ context.Context, network, host string) ([]netip.Addr, error) {
		if network != "ip" {
			return nil, errors.New(network)
		}
		if host == "slow.example" {
			return nil, &net.DNSError{Name: host, IsTimeout: true}
		}
		if list := names[host]; list != nil {
			return list, nil
		}
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	private, err := ParsePrivate([]string{"127.0.0.1", "opened.example"})
	if err != nil {
		t.Fatal(err)
	}
	names["opened.example"] = names["private.example"]
	for _, c := range []struct {
		url  string
		via  *Via
		want string
	}{
		{url: "http://127.0.0.1:9/x"},
		{url: "https://93.184.216.34"},
		{url: "http://93.184.216.34", want: "93.184.216.34:80 is not called: it is spoken to without TLS; use https, or have the operator open it: outcrop serve --allow-private 93.184.216.34"},
		{url: "http://10.0.0.1/x", want: "10.0.0.1:80 is not called: the address is private; have the operator open it: outcrop serve --allow-private 10.0.0.1"},
		{url: "https://[fd00::1]:8443/x", want: "[fd00::1]:8443 is not called: the address is private; have the operator open it: outcrop serve --allow-private fd00::1"},
		{url: "http://169.254.169.254/x", want: "169.254.169.254:80 is not called: a cloud's metadata service is there"},
		{url: "https://public.example"},
		{url: "https://both.example"},
		{url: "https://slow.example"},
		{url: "http://opened.example"},
		{url: "https://private.example", want: "10.0.0.1:443 is not called: the address is private; have the operator open it: outcrop serve --allow-private 10.0.0.1"},
		{url: "https://nope.invalid", want: "lookup nope.invalid: no such host"},
		{url: "https://public.example", via: &Via{Host: "private.example", Port: "9"}, want: "10.0.0.1:9 is not called: the address is private; have the operator open it: outcrop serve --allow-private 10.0.0.1"},
		{url: "https://nope.invalid", via: &Via{Host: "private.example", Opened: true}},
	} {
		u, err := url.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := (Config{Private: private, Via: c.via}).judge(t.Context(), u, lookup); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s by %v: %q", c.url, c.via, got)
		}
	}
}
