package netprofile_test

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/netprofile"
	"github.com/outcrop/outcrop/internal/sandbox/network"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

func open(t *testing.T, path string) (*netprofile.Registry, func()) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return netprofile.New(db), func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

func newRegistry(t *testing.T) *netprofile.Registry {
	r, closed := open(t, filepath.Join(t.TempDir(), "outcrop.db"))
	t.Cleanup(closed)
	return r
}

// parse reads texts that are right.
func parse[T any](t testing.TB, read func(string) (T, error), texts ...string) []T {
	t.Helper()
	var out []T
	for _, text := range texts {
		v, err := read(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

func put(t *testing.T, r *netprofile.Registry, name string, rules ...string) {
	t.Helper()
	if _, err := r.PutProfile(t.Context(), netprofile.Profile{Name: name, Rules: parse(t, netprofile.ParseRule, rules...)}); err != nil {
		t.Fatal(err)
	}
}

func mapped(t *testing.T, r *netprofile.Registry, profile string, subnets ...string) {
	t.Helper()
	if _, err := r.Map(t.Context(), profile, subnets); err != nil {
		t.Fatal(err)
	}
}

const a, b, c = "subnet-0000000a", "subnet-0000000b", "subnet-0000000c"

// TestSurvives: what was acknowledged is there in the next process.
func TestSurvives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outcrop.db")
	r, closed := open(t, path)
	if got, err := r.Read(t.Context()); err != nil || !reflect.DeepEqual(got, netprofile.Configuration{}) {
		t.Fatalf("before anything was said: %+v, %v", got, err)
	}
	p := netprofile.Profile{Name: "office", Rules: parse(t, netprofile.ParseRule, "10.1.0.0/16:443", "10.1.0.9/32:1-2/udp"), Servers: parse(t, netprofile.ParseServer, "10.1.0.2", "[fd00::1]:5353")}
	if _, err := r.PutProfile(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	put(t, r, "all", "0.0.0.0/0")
	mapped(t, r, "office", a, b)
	mapped(t, r, "all", b)
	want, err := r.ChangePublic(t.Context(), netprofile.PublicChange{AddRanges: parse(t, netprofile.ParseRange, "10.2.0.0/16"), AddHosts: []string{"API.example.com."}})
	if err != nil {
		t.Fatal(err)
	}
	closed()
	r, closed = open(t, path)
	defer closed()
	got, err := r.Read(t.Context())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v; want %+v", got, err, want)
	}
	office, ok := got.Profile("office")
	if !ok || !reflect.DeepEqual(office, p) || !slices.Equal(got.SubnetsOf("office"), []string{a}) || !slices.Equal(got.SubnetsOf("all"), []string{b}) {
		t.Errorf("%+v", got)
	}
	if got.Profiles[0].Name != "all" || !slices.Equal(got.Hosts, []string{"api.example.com"}) || got.Ranges[0].String() != "10.2.0.0/16" {
		t.Errorf("%+v", got)
	}
}

// TestChangesAreWhole: a change that is refused leaves everything as it was.
func TestChangesAreWhole(t *testing.T) {
	r := newRegistry(t)
	put(t, r, "office", "10.1.0.0/16")
	mapped(t, r, "office", a)
	if _, err := r.ChangePublic(t.Context(), netprofile.PublicChange{AddRanges: parse(t, netprofile.ParseRange, "10.2.0.0/16"), AddHosts: []string{"one.example"}}); err != nil {
		t.Fatal(err)
	}
	before, err := r.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	rules := func(n int) (list []netprofile.Rule) {
		for i := range n {
			list = append(list, parse(t, netprofile.ParseRule, fmt.Sprintf("10.0.0.0/8:%d", i+1))...)
		}
		return list
	}
	var ranges []netip.Prefix
	var hosts, subnets []string
	for i := range 1001 {
		ranges = append(ranges, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 3, byte(i >> 8), byte(i)}), 32))
		hosts = append(hosts, fmt.Sprintf("h%d.example", i))
		subnets = append(subnets, fmt.Sprintf("subnet-%08d", i))
	}
	addr := netip.MustParseAddrPort("10.0.0.1:53")
	for _, tt := range []struct {
		name, code, text string
		do               func() (netprofile.Configuration, error)
	}{
		{"profile without a name", "ValidationException", "Profile name", func() (netprofile.Configuration, error) {
			return r.PutProfile(ctx, netprofile.Profile{Rules: rules(1)})
		}},
		{"profile without rules", "ValidationException", "at least one rule", func() (netprofile.Configuration, error) { return r.PutProfile(ctx, netprofile.Profile{Name: "x"}) }},
		{"too many rules", "ValidationException", "has 65 rules; at most 64", func() (netprofile.Configuration, error) {
			return r.PutProfile(ctx, netprofile.Profile{Name: "x", Rules: rules(65)})
		}},
		{"too many servers", "ValidationException", "has 4 DNS servers; at most 3", func() (netprofile.Configuration, error) {
			return r.PutProfile(ctx, netprofile.Profile{Name: "x", Rules: rules(1), Servers: []netip.AddrPort{addr, addr, addr, addr}})
		}},
		{"delete what is not there", "ResourceNotFoundException", "There are: office", func() (netprofile.Configuration, error) { return r.DeleteProfile(ctx, "x") }},
		{"delete what is used", "ConflictException", a, func() (netprofile.Configuration, error) { return r.DeleteProfile(ctx, "office") }},
		{"map to what is not there", "ResourceNotFoundException", "'x'", func() (netprofile.Configuration, error) { return r.Map(ctx, "x", []string{b}) }},
		{"map nothing", "ValidationException", "At least one subnet", func() (netprofile.Configuration, error) { return r.Map(ctx, "office", nil) }},
		{"map no subnet", "ValidationException", `"vpc-0"`, func() (netprofile.Configuration, error) { return r.Map(ctx, "office", []string{b, "vpc-0"}) }},
		{"map too many", "ValidationException", "at most 1000", func() (netprofile.Configuration, error) { return r.Map(ctx, "office", subnets) }},
		{"unmap one too many", "ResourceNotFoundException", b, func() (netprofile.Configuration, error) { return r.Unmap(ctx, []string{a, b}) }},
		{"too many ranges", "ValidationException", "at most 64", func() (netprofile.Configuration, error) {
			return r.ChangePublic(ctx, netprofile.PublicChange{AddRanges: ranges})
		}},
		{"too many hosts", "ValidationException", "at most 64", func() (netprofile.Configuration, error) {
			return r.ChangePublic(ctx, netprofile.PublicChange{AddHosts: hosts})
		}},
		{"no host", "ValidationException", "api.example.com", func() (netprofile.Configuration, error) {
			return r.ChangePublic(ctx, netprofile.PublicChange{AddHosts: []string{"two.example", "http://x"}})
		}},
		{"remove a range that is not there", "ResourceNotFoundException", "10.3.0.0/32", func() (netprofile.Configuration, error) {
			return r.ChangePublic(ctx, netprofile.PublicChange{AddHosts: []string{"two.example"}, RemoveRanges: ranges[:1]})
		}},
		{"remove a host that is not there", "ResourceNotFoundException", "two.example", func() (netprofile.Configuration, error) {
			return r.ChangePublic(ctx, netprofile.PublicChange{RemoveRanges: before.Ranges, RemoveHosts: []string{"two.example"}})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := tt.do(); !fault.Is(err, tt.code) || !strings.Contains(fault.From(err).Message, tt.text) || !reflect.DeepEqual(got, netprofile.Configuration{}) {
				t.Errorf("%v; want %s with %q", err, tt.code, tt.text)
			}
			if after, err := r.Read(t.Context()); err != nil || !reflect.DeepEqual(after, before) {
				t.Errorf("it has become %+v, %v", after, err)
			}
		})
	}
}

// TestAgain: saying the same twice changes nothing, in whatever order.
func TestAgain(t *testing.T) {
	r := newRegistry(t)
	put(t, r, "office", "10.1.0.0/16:443", "10.1.0.0/16:80")
	mapped(t, r, "office", a)
	public := netprofile.PublicChange{AddRanges: parse(t, netprofile.ParseRange, "10.2.0.0/16", "10.1.0.0/16"), AddHosts: []string{"b.example", "a.example"}}
	first, err := r.ChangePublic(t.Context(), public)
	if err != nil {
		t.Fatal(err)
	}
	put(t, r, "office", "10.1.0.0/16:80", "10.1.0.0/16:443", "10.1.0.0/16:80")
	mapped(t, r, "office", a, a)
	slices.Reverse(public.AddRanges)
	slices.Reverse(public.AddHosts)
	second, err := r.ChangePublic(t.Context(), public)
	if err != nil || !reflect.DeepEqual(first, second) {
		t.Errorf("%+v\n%+v, %v", first, second, err)
	}
	end, err := r.ChangePublic(t.Context(), netprofile.PublicChange{RemoveRanges: public.AddRanges, RemoveHosts: []string{"A.example", "b.example"}})
	if err != nil || len(end.Ranges) != 0 || len(end.Hosts) != 0 {
		t.Errorf("%+v, %v", end, err)
	}
}

// TestTogether: changes at the same time are all kept.
func TestTogether(t *testing.T) {
	r := newRegistry(t)
	put(t, r, "office", "10.1.0.0/16")
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if _, err := r.Map(t.Context(), "office", []string{fmt.Sprintf("subnet-%08d", i)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got, err := r.Read(t.Context()); err != nil || len(got.Subnets) != 20 {
		t.Errorf("%d subnets, %v", len(got.Subnets), err)
	}
}

// TestPolicy: what a session comes to, and what its log says where that is nothing.
func TestPolicy(t *testing.T) {
	r := newRegistry(t)
	put(t, r, "office", "10.1.0.0/16:443")
	put(t, r, "lab", "10.9.0.0/16")
	mapped(t, r, "office", a, b)
	mapped(t, r, "lab", c)
	conf, err := r.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const other, more = "subnet-0000000x", "subnet-0000000y"
	for _, tt := range []struct {
		name, profile   string
		subnets         []string
		reason, command string
	}{
		{"one", "office", []string{a}, "", ""},
		{"two of one profile", "office", []string{b, a, b}, "", ""},
		{"unmapped", "", []string{other}, "", "outcrop network map " + other + " PROFILE"},
		{"several unmapped", "", []string{more, other, more}, "", "outcrop network map " + other + " " + more + " PROFILE"},
		{"one of two unmapped", "", []string{a, other}, "", "outcrop network map " + other + " office"},
		{"unmapped, the others differ", "", []string{a, other, c}, "", "outcrop network map " + other + " PROFILE"},
		{"different", "", []string{c, a}, "subnets " + a + ", " + c + " are mapped to different network profiles (lab, office)", "outcrop network map " + a + " " + c + " PROFILE"},
		{"no subnet", "", nil, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, basis := conf.Policy(network.VPC, tt.subnets)
			if p.Mode != network.VPC || (p.Profile != nil) != (tt.profile != "") || p.MapCommand != tt.command || !strings.HasPrefix(p.Reason, tt.reason) || (p.Reason == "") != (tt.reason == "") {
				t.Fatalf("%+v", p)
			}
			if p.Profile == nil {
				if basis != "VPC, nothing" {
					t.Errorf("it is based on %q", basis)
				}
			} else if p.Profile.Name != tt.profile || p.Profile.RuleCommand != "outcrop network profile add "+tt.profile+" --rule" || len(p.Profile.Rules) != 1 || p.Profile.Resolver != nil || !strings.Contains(basis, "10.1.0.0/16:443") {
				t.Errorf("%+v, %q", p.Profile, basis)
			}
		})
	}
	if p, basis := conf.Policy(network.Sandbox, []string{a}); p.Mode != network.Sandbox || p.Profile != nil || basis != "SANDBOX" {
		t.Errorf("%+v, %q", p, basis)
	}
	if p, _ := conf.Policy("OTHER", []string{a}); p.Mode != network.Sandbox {
		t.Errorf("an unknown mode is %+v", p)
	}
}

// TestBasis: it changes with what is reached and with nothing else.
func TestBasis(t *testing.T) {
	r := newRegistry(t)
	seen := map[string]string{}
	look := func(when string, isNew bool, mode network.Mode) {
		t.Helper()
		conf, err := r.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, basis := conf.Policy(mode, []string{a})
		if was, old := seen[basis]; old == isNew {
			t.Errorf("%s: %q, as %s", when, basis, was)
		}
		seen[basis] = when
	}
	look("public", true, network.Public)
	look("nothing", true, network.VPC)
	put(t, r, "office", "10.1.0.0/16", "10.2.0.0/16")
	look("not mapped", false, network.VPC)
	look("public with profiles", false, network.Public)
	mapped(t, r, "office", a)
	look("mapped", true, network.VPC)
	put(t, r, "other", "10.2.0.0/16", "10.1.0.0/16")
	mapped(t, r, "other", a)
	look("the same under another name", false, network.VPC)
	put(t, r, "other", "10.2.0.0/16")
	look("less", true, network.VPC)
	if _, err := r.PutProfile(t.Context(), netprofile.Profile{Name: "other", Rules: parse(t, netprofile.ParseRule, "10.2.0.0/16"), Servers: parse(t, netprofile.ParseServer, "10.2.0.2")}); err != nil {
		t.Fatal(err)
	}
	look("other names", true, network.VPC)
	for when, change := range map[string]netprofile.PublicChange{
		"a range": {AddRanges: parse(t, netprofile.ParseRange, "10.3.0.0/16")}, "a host": {AddHosts: []string{"a.example"}},
	} {
		if _, err := r.ChangePublic(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		look(when, true, network.Public)
	}
	look("vpc does not mind", false, network.VPC)
}

// TestPoliciesAreAccepted: whatever is kept here makes a network.
func TestPoliciesAreAccepted(t *testing.T) {
	r := newRegistry(t)
	put(t, r, "office", "10.1.0.0/16:443", "0.0.0.0/0", "10.0.0.1:1-65535/udp", "169.254.0.0/16/tcp")
	mapped(t, r, "office", a)
	conf, err := r.ChangePublic(t.Context(), netprofile.PublicChange{
		AddRanges: parse(t, netprofile.ParseRange, "0.0.0.0/0", "169.254.7.0/24"), AddHosts: []string{"*.EXAMPLE.com", "_dmarc.example"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []network.Mode{network.Sandbox, network.Public, network.VPC} {
		p, _ := conf.Policy(mode, []string{a})
		s, err := network.New(network.Config{Policy: p, Machine: network.NewMachine()})
		if err != nil {
			t.Errorf("%s: %v", mode, err)
			continue
		}
		s.Close()
	}
}

func BenchmarkRead(bench *testing.B) {
	db, err := sqlite.Open(bench.Context(), filepath.Join(bench.TempDir(), "outcrop.db"), sqlite.Options{})
	if err != nil {
		bench.Fatal(err)
	}
	defer db.Close()
	r := netprofile.New(db)
	if _, err := r.PutProfile(bench.Context(), netprofile.Profile{Name: "office", Rules: parse(bench, netprofile.ParseRule, "10.1.0.0/16:443", "10.1.0.9:5432")}); err != nil {
		bench.Fatal(err)
	}
	if _, err := r.Map(bench.Context(), "office", []string{a, b, c}); err != nil {
		bench.Fatal(err)
	}
	for bench.Loop() {
		conf, err := r.Read(bench.Context())
		if err != nil {
			bench.Fatal(err)
		}
		if p, _ := conf.Policy(network.VPC, []string{a, b}); p.Profile == nil {
			bench.Fatal("not mapped")
		}
	}
}
