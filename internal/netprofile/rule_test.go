package netprofile_test

import (
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/netprofile"
)

func TestParseRule(t *testing.T) {
	for text, want := range map[string]string{
		"10.1.0.0/16": "10.1.0.0/16", "10.1.0.0/16:443": "10.1.0.0/16:443", "10.1.0.0/16:8000-8100/tcp": "10.1.0.0/16:8000-8100/tcp",
		"10.1.2.3": "10.1.2.3/32", "10.1.2.3:53/udp": "10.1.2.3/32:53/udp", "10.1.2.3/udp": "10.1.2.3/32/udp", "10.1.2.3/32/tcp": "10.1.2.3/32/tcp",
		"0.0.0.0/0": "0.0.0.0/0", "10.0.0.1:0443-443": "10.0.0.1/32:443", "10.0.0.1:1-65535": "10.0.0.1/32:1-65535", "192.0.0.0/16": "192.0.0.0/16",
	} {
		if got, err := netprofile.ParseRule(text); err != nil || got.String() != want {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "neither an IPv4 range", "office": "neither an IPv4 range", "10.1.0.0/33": "neither an IPv4 range", "10.1.0.0/16/icmp": "neither an IPv4 range",
		"10.1.0.0/16/tcp/udp": "neither an IPv4 range", " 10.1.0.0/16": "neither an IPv4 range", "10.1.0.0/16/TCP": "neither an IPv4 range",
		"10.1.2.3/16": "did you mean 10.1.0.0/16 or 10.1.2.3/32?", "fd00::/8": "no IPv6", "::1": "no IPv6", "[::1]:80": "no IPv6", "::ffff:10.0.0.0/112": "no IPv6",
		"10.0.0.0/8:": `ports ""`, "10.0.0.0/8:0": `ports "0"`, "10.0.0.0/8:65536": `ports "65536"`, "10.0.0.0/8:-1": `ports "-1"`, "10.0.0.0/8:1-2-3": `ports "1-2-3"`,
		"10.0.0.0/8:9-8": "the first must not be above the last", "10.0.0.0/8:https": `ports "https"`,
		"192.0.0.0/24": "every sandbox's own wire", "192.0.0.1": "every sandbox's own wire", "0.0.0.0": "all addresses together are 0.0.0.0/0", "0.0.0.0/8:443": "all addresses together", "127.0.0.0/8": "loopback of its own", "127.0.0.1:80": "loopback of its own",
	} {
		if _, err := netprofile.ParseRule(text); !fault.Is(err, "ValidationException") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
}

func TestParseServer(t *testing.T) {
	for text, want := range map[string]string{"10.1.0.2": "10.1.0.2:53", "127.0.0.1:5353": "127.0.0.1:5353", "fd00::1": "[fd00::1]:53", "[fd00::1]:5": "[fd00::1]:5"} {
		if got, err := netprofile.ParseServer(text); err != nil || got.String() != want {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "ns.example.com", "10.1.0.2:", "10.1.0.2:0", "10.1.0.2:65536", "0.0.0.0", "224.0.0.251", "fe80::1%eth0", "10.1.0.0/16"} {
		if got, err := netprofile.ParseServer(text); !fault.Is(err, "ValidationException") || !strings.Contains(err.Error(), "10.1.0.2") {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}

// FuzzParseRule: what is accepted is written as it is read, and is never anything
// but IPv4.
func FuzzParseRule(f *testing.F) {
	for _, seed := range []string{"10.1.0.0/16:443/tcp", "10.1.2.3:1-2", "::1", "127.0.0.1/32/udp", "192.0.0.0/23", "1/tcp:2/udp"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := netprofile.ParseRule(text)
		if err != nil {
			if !fault.Is(err, "ValidationException") {
				t.Fatal(err)
			}
			return
		}
		again, err := netprofile.ParseRule(r.String())
		if err != nil || again != r {
			t.Errorf("%q is %q, which is %q, %v", text, r, again, err)
		}
		if !r.Prefix.Addr().Is4() || r.Prefix.Masked() != r.Prefix || r.First > r.Last || (r.First == 0) != (r.Last == 0) {
			t.Errorf("%q is %+v", text, r)
		}
	})
}
