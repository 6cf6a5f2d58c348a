package iprange_test

import (
	"net/netip"
	"testing"

	"github.com/outcrop/outcrop/internal/iprange"
)

func TestPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"8.8.8.8": true, "1.0.0.1": true, "2600::1": true, "2a00:1450::1": true, "192.0.1.1": true, "172.32.0.1": true, "100.128.0.1": true,
		"::ffff:8.8.8.8": true, "64:ff9b::8.8.8.8": true, "2002:808:808::1": true,

		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "100.64.0.1": false, "127.0.0.1": false, "127.255.255.254": false, "168.63.129.16": false,
		"169.254.0.1": false, "172.16.0.1": false, "172.31.255.255": false, "192.0.0.1": false, "192.168.1.1": false, "198.18.0.1": false,
		"224.0.0.1": false, "239.255.255.250": false, "240.0.0.1": false, "255.255.255.255": false,

		"::": false, "::1": false, "::127.0.0.1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::ffff:0:127.0.0.1": false,
		"64:ff9b::10.0.0.1": false, "64:ff9b::127.0.0.1": false, "64:ff9b:1::8.8.8.8": false, "2002:7f00:1::": false, "2002:a00:1::5": false, "2002:a9fe:a9fe::": false,
		"2001::1": false, "2001:0:7f00:1::": false, "2001:db8::1": false, "3fff::1": false, "5f00::1": false, "100::1": false,
		"fc00::1": false, "fd00::1": false, "fd00:ec2::254": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "ff02::1": false,
	} {
		if got := iprange.Public(netip.MustParseAddr(text)); got != want {
			what, _ := iprange.Special(netip.MustParseAddr(text))
			t.Errorf("Public(%s) = %t (%s)", text, got, what)
		}
	}
	if iprange.Public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

func TestMetadata(t *testing.T) {
	for text, want := range map[string]bool{
		"169.254.169.254": true, "::ffff:169.254.169.254": true, "64:ff9b::169.254.169.254": true, "2002:a9fe:a9fe::1": true, "fd00:ec2::254": true,
		"fd00:ec2::254%eth0": true, "169.254.170.2": true, "100.100.100.200": true, "168.63.129.16": true, "fd20:ce::254": true,
		"169.254.169.253": false, "8.8.8.8": false, "fd00:ec2::253": false,
	} {
		if got := iprange.Metadata(netip.MustParseAddr(text)); got != want {
			t.Errorf("Metadata(%s) = %t", text, got)
		}
	}
}

func TestAdmits(t *testing.T) {
	for _, tt := range []struct {
		prefix, addr string
		want         bool
	}{
		{"0.0.0.0/0", "10.0.0.1", true},
		{"0.0.0.0/0", "169.254.1.1", false},
		{"169.254.0.0/16", "169.254.1.1", true},
		{"::/0", "fe80::1", false},
		{"fe80::/64", "fe80::1", true},
		{"10.0.0.0/8", "11.0.0.1", false},
	} {
		if got := iprange.Admits(netip.MustParsePrefix(tt.prefix), netip.MustParseAddr(tt.addr)); got != tt.want {
			t.Errorf("Admits(%s, %s) = %t", tt.prefix, tt.addr, got)
		}
	}
}
