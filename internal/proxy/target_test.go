package proxy

import (
	"net/netip"
	"strings"
	"testing"
)

func TestTarget(t *testing.T) {
	for in, want := range map[string]string{
		"sts.amazonaws.com:443":  "sts.amazonaws.com:443",
		"STS.amazonaws.com.:443": "sts.amazonaws.com:443",
		"localhost:1":            "localhost:1",
		"a_b.example:65535":      "a_b.example:65535",
		"192.0.2.1:80":           "192.0.2.1:80",
		"[2001:DB8::1]:443":      "[2001:db8::1]:443",
		"[::ffff:127.0.0.1]:443": "127.0.0.1:443",
		"3com.example:443":       "3com.example:443",
	} {
		if got, err := parseTarget(in); err != nil || got.String() != want {
			t.Errorf("parseTarget(%q) = %v, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", ":443", "host", "host:", "host:0", "host:65536", "host:+443", "host:0443", "host: 443", "host:44 3", "host:-1", "host:https",
		"user@host:443", "host:443/path", "/host:443", "host/x:443", "host?x:443", "http://host:443", "host:443:443", "host#:443", "ho st:443", "host\r\nX: y:443",
		"host\x00.amazonaws.com:443", "h%6fst:443", "*.amazonaws.com:443", "\u0455ts.amazonaws.com:443", "[host]:443", "[127.0.0.1]:443", "[::1%lo]:443", "::1:443", "[::1:443",
		"2130706433:443", "127.1:443", "0x7f000001:443", "0x7f.0.0.1:443", "0177.0.0.1:443", "127.0.0.1.:443", "127.0.0.0x1:443", "1.2.3.4.5:443", "0x:443", "99999999999999999999999:443",
		"..:443", ".:443", "a..b:443", strings.Repeat("a", 64) + ".com:443", strings.Repeat("a.", 140) + "com:443",
	} {
		if got, err := parseTarget(in); err == nil {
			t.Errorf("parseTarget(%q) = %v", in, got)
		} else if strings.ContainsAny(err.Error(), "\r\n\x00") {
			t.Errorf("parseTarget(%q): the error repeats control characters: %q", in, err)
		}
	}
}

func TestDenied(t *testing.T) {
	for _, a := range []string{
		"127.0.0.1", "127.255.1.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "fd00:ec2::254", "224.0.0.1", "ff02::1",
	} {
		if denied(netip.MustParseAddr(a)) == nil {
			t.Errorf("%s is reached", a)
		}
	}
	for _, a := range []string{"10.0.0.1", "192.0.2.1", "2001:db8::1", "fd00::1"} {
		if err := denied(netip.MustParseAddr(a)); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
}

func FuzzTarget(f *testing.F) {
	for _, s := range []string{"sts.amazonaws.com:443", "[::1]:1", "127.1:443", "user@host:1", "0x7f.1:80", "a.:65535"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseTarget(s)
		if err != nil {
			return
		}
		if got.port == 0 || got.host == "" || strings.ContainsAny(got.host, " \t\r\n\x00/@?#%[]\\") {
			t.Fatalf("parseTarget(%q) = %+v", s, got)
		}
		if again, err := parseTarget(got.String()); err != nil || again != got {
			t.Errorf("parseTarget(%q) = %v, which reads as %v, %v", s, got, again, err)
		}
		if a, err := netip.ParseAddr(got.host); (err == nil) != got.addr.IsValid() || got.addr != a {
			t.Errorf("parseTarget(%q): host %q, address %v", s, got.host, got.addr)
		}
	})
}
