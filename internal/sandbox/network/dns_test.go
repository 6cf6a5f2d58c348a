package network

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// ask is a guest's query.
func ask(t testing.TB, name string, kind dnsmessage.Type, change func(*dnsmessage.Message)) []byte {
	t.Helper()
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}},
	}
	if change != nil {
		change(&m)
	}
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

func unpack(t testing.TB, message []byte) dnsmessage.Message {
	t.Helper()
	var m dnsmessage.Message
	if err := m.Unpack(message); err != nil {
		t.Fatalf("the answer %x: %v", message, err)
	}
	return m
}

func TestAnswers(t *testing.T) {
	s := newSession(t, Config{
		Policy: Policy{Mode: Public}, Resolver: fixed{"a.test.": {"1.2.3.4", "1.2.3.5"}},
		Own: func(_ context.Context, name string) bool { return name == "outcrop.internal" },
	})
	opcode := func(m *dnsmessage.Message) { m.OpCode = 5 }
	twice := func(m *dnsmessage.Message) { m.Questions = append(m.Questions, m.Questions[0]) }
	chaos := func(m *dnsmessage.Message) { m.Questions[0].Class = dnsmessage.ClassCHAOS }
	for _, tt := range []struct {
		what    string
		query   []byte
		code    dnsmessage.RCode
		records int
	}{
		{"A", ask(t, "a.test.", dnsmessage.TypeA, nil), dnsmessage.RCodeSuccess, 2},
		{"A in capitals", ask(t, "A.Test.", dnsmessage.TypeA, nil), dnsmessage.RCodeSuccess, 2},
		{"no such name", ask(t, "b.test.", dnsmessage.TypeA, nil), dnsmessage.RCodeNameError, 0},
		{"AAAA", ask(t, "a.test.", dnsmessage.TypeAAAA, nil), dnsmessage.RCodeSuccess, 0},
		{"HTTPS", ask(t, "a.test.", 65, nil), dnsmessage.RCodeSuccess, 0},
		{"our own", ask(t, "outcrop.internal.", dnsmessage.TypeA, nil), dnsmessage.RCodeSuccess, 1},
		{"our own AAAA", ask(t, "outcrop.internal.", dnsmessage.TypeAAAA, nil), dnsmessage.RCodeSuccess, 0},
		{"ANY", ask(t, "a.test.", dnsmessage.TypeALL, nil), dnsmessage.RCodeRefused, 0},
		{"a zone", ask(t, "a.test.", typeAXFR, nil), dnsmessage.RCodeRefused, 0},
		{"another class", ask(t, "a.test.", dnsmessage.TypeA, chaos), dnsmessage.RCodeRefused, 0},
		{"an update", ask(t, "a.test.", dnsmessage.TypeA, opcode), dnsmessage.RCodeNotImplemented, 0},
		{"two questions", ask(t, "a.test.", dnsmessage.TypeA, twice), dnsmessage.RCodeFormatError, 0},
	} {
		m := unpack(t, s.answer(tt.query, false))
		if m.ID != 7 || !m.Response || m.RCode != tt.code || len(m.Answers) != tt.records {
			t.Errorf("%s: %+v with %d records; want %v and %d", tt.what, m.Header, len(m.Answers), tt.code, tt.records)
		}
	}
	response := ask(t, "a.test.", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.Response = true })
	for _, junk := range [][]byte{nil, {1, 2, 3}, response} {
		if got := s.answer(junk, false); got != nil {
			t.Errorf("%x is answered with %x", junk, got)
		}
	}
}

// TestLongAnswers: over UDP they are cut to what the guest takes, and whole over
// TCP.
func TestLongAnswers(t *testing.T) {
	var many []string
	for i := range 100 {
		many = append(many, netip.AddrFrom4([4]byte{1, 2, 3, byte(i)}).String())
	}
	s := newSession(t, Config{Policy: Policy{Mode: Public}, Resolver: fixed{"many.test.": many}})
	edns := func(m *dnsmessage.Message) {
		var h dnsmessage.ResourceHeader
		_ = h.SetEDNS0(65535, 0, false)
		m.Additionals = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.OPTResource{}}}
	}
	plain := ask(t, "many.test.", dnsmessage.TypeA, nil)
	if m := unpack(t, s.answer(plain, false)); !m.Truncated || len(m.Answers) != 0 {
		t.Errorf("without EDNS: truncated %t, %d records", m.Truncated, len(m.Answers))
	}
	if m := unpack(t, s.answer(ask(t, "many.test.", dnsmessage.TypeA, edns), false)); m.Truncated || len(m.Answers) != 100 {
		t.Errorf("with EDNS: truncated %t, %d records", m.Truncated, len(m.Answers))
	}
	if m := unpack(t, s.answer(plain, true)); m.Truncated || len(m.Answers) != 100 {
		t.Errorf("over TCP: truncated %t, %d records", m.Truncated, len(m.Answers))
	}
	if got := lookup(t, s, "many.test"); len(got) != 100 { // a client that falls back by itself
		t.Errorf("a client gets %d addresses, want 100", len(got))
	}
}

// TestQueriesAreBounded: one guest asks no more than so much.
func TestQueriesAreBounded(t *testing.T) {
	now := time.Unix(0, 0)
	var n atomic.Int64
	s := newSession(t, Config{Policy: Policy{Mode: Public}, Now: func() time.Time { return now }, Resolver: counting{&n}})
	query := ask(t, "a.test.", dnsmessage.TypeA, nil)
	refused := 0
	for range 3 * queriesAtOnce {
		if unpack(t, s.answer(query, false)).RCode == dnsmessage.RCodeRefused {
			refused++
		}
	}
	if n.Load() != queriesAtOnce || refused != 2*queriesAtOnce {
		t.Errorf("%d queries were passed on and %d refused, want %d and %d", n.Load(), refused, queriesAtOnce, 2*queriesAtOnce)
	}
	now = now.Add(time.Second)
	_ = s.answer(query, false)
	if n.Load() != queriesAtOnce+1 {
		t.Error("it is refused for ever")
	}
}

type counting struct{ n *atomic.Int64 }

// Resolve implements Resolver.
func (c counting) Resolve(context.Context, dnsmessage.Question) (Answer, error) {
	c.n.Add(1)
	return Answer{}, nil
}

// rcode answers every question with a code, or an error.
type rcode struct {
	code dnsmessage.RCode
	err  error
}

func (r rcode) Resolve(context.Context, dnsmessage.Question) (Answer, error) {
	return Answer{Code: r.code}, r.err
}

// TestVain: each name that is not resolved is told of once, with what became of it.
func TestVain(t *testing.T) {
	two := []netip.AddrPort{netip.MustParseAddrPort("10.1.0.2:53"), netip.MustParseAddrPort("10.1.0.3:53")}
	for want, resolver := range map[string]Resolver{
		"name x.test: no such name":                                  rcode{code: dnsmessage.RCodeNameError},
		"name x.test: no answer from 10.1.0.2:53":                    rcode{err: &UnansweredError{"x.test.", two[:1], context.DeadlineExceeded}},
		"name x.test: no answer from 10.1.0.2:53, 10.1.0.3:53":       rcode{err: &UnansweredError{"x.test.", two, context.DeadlineExceeded}},
		"name x.test: there is no name server":                       NewForwarder(),
		"name x.test: no answer":                                     rcode{err: errors.New("secret")},
		"name x.test: the name server could not find out (SERVFAIL)": rcode{code: dnsmessage.RCodeServerFailure},
		"name x.test: the name server refused to tell (REFUSED)":     rcode{code: dnsmessage.RCodeRefused},
		"name x.test: the name server answered with the error 4":     rcode{code: dnsmessage.RCodeNotImplemented},
		"": rcode{},
	} {
		var told []string
		s := newSession(t, Config{Policy: Policy{Mode: Public}, Resolver: resolver, Note: func(r Refusal) { told = append(told, r.String()) }})
		for range 2 {
			s.answer(ask(t, "x.test.", dnsmessage.TypeA, nil), false)
			s.answer(ask(t, "x.test.", dnsmessage.TypeAAAA, nil), false)
		}
		if got := strings.Join(told, "; "); got != want {
			t.Errorf("told of %q, want %q", got, want)
		}
	}
}

// TestNobodyAnswers: a server that is silent is named.
func TestNobodyAnswers(t *testing.T) {
	silent := server(t, func(string, *dnsmessage.Message) *dnsmessage.Message { return nil })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	q := dnsmessage.Question{Name: dnsmessage.MustNewName("x.test."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
	_, err := NewForwarder(silent).Resolve(ctx, q)
	e, ok := errors.AsType[*UnansweredError](err)
	if !ok || e.Reason() != "no answer from "+silent.String() || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// TestClosedServer: queries in flight end with the session.
func TestClosedServer(t *testing.T) {
	asked := make(chan struct{})
	s := newSession(t, Config{Policy: Policy{Mode: Public}, Resolver: stuck{asked}})
	for _, network := range []string{"udp", "tcp"} {
		c, err := s.Connect(t.Context(), network, DNS)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		query := ask(t, "a.test.", dnsmessage.TypeA, nil)
		if network == "tcp" {
			query = append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)
		}
		if _, err := c.Write(query); err != nil {
			t.Fatal(err)
		}
		<-asked
	}
	s.Close()
	if _, err := s.Connect(t.Context(), "udp", DNS); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Connect() after Close() = %v", err)
	}
}

type stuck struct{ asked chan struct{} }

// Resolve implements Resolver.
func (s stuck) Resolve(ctx context.Context, _ dnsmessage.Question) (Answer, error) {
	s.asked <- struct{}{}
	<-ctx.Done()
	return Answer{}, ctx.Err()
}

func TestParseResolvConf(t *testing.T) {
	for text, want := range map[string]string{
		"": "[127.0.0.1:53]",
		"# a\nnameserver 1.1.1.1\nsearch x\n nameserver\t8.8.8.8 # b\noptions ndots:2":   "[1.1.1.1:53 8.8.8.8:53]",
		"nameserver 2606:4700::1111\nnameserver fe80::1%eth0\nnameserver x":              "[[2606:4700::1111]:53 [fe80::1%eth0]:53]",
		"nameserver 1.0.0.1\nnameserver 1.0.0.2\nnameserver 1.0.0.3\nnameserver 1.0.0.4": "[1.0.0.1:53 1.0.0.2:53 1.0.0.3:53]",
	} {
		var got []string
		for _, a := range parseResolvConf(text) {
			got = append(got, a.String())
		}
		if "["+strings.Join(got, " ")+"]" != want {
			t.Errorf("parseResolvConf(%q) = %v, want %s", text, got, want)
		}
	}
	path := filepath.Join(t.TempDir(), "resolv.conf")
	f := NewSystemForwarder(path)
	if got := f.servers(); len(got) != 0 {
		t.Errorf("without a file the servers are %v", got)
	}
	if _, err := f.Resolve(t.Context(), dnsmessage.Question{Name: dnsmessage.MustNewName("a.")}); err == nil {
		t.Error("nobody was asked, and there is no error")
	}
	if err := os.WriteFile(path, []byte("nameserver 9.9.9.9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := NewSystemForwarder(path).servers(); len(got) != 1 {
		t.Errorf("the servers are %v", got)
	}
}

// A server plays a name server: behave changes its answer, or returns nil for
// none. The first answer to each question over UDP is preceded by one with
// another id.
func server(t *testing.T, behave func(network string, m *dnsmessage.Message) *dnsmessage.Message) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	p, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Skipf("the port is taken for UDP: %v", err)
	}
	t.Cleanup(func() { l.Close(); p.Close() })
	reply := func(network string, query []byte) []byte {
		m := unpack(t, query)
		m.Response, m.Additionals = true, nil
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 5},
			Body:   &dnsmessage.AResource{A: [4]byte{5, 6, 7, 8}},
		}}
		answer := behave(network, &m)
		if answer == nil {
			return nil
		}
		packed, err := answer.Pack()
		if err != nil {
			t.Error(err)
		}
		return packed
	}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := p.ReadFromUDP(buf)
			if err != nil {
				return
			}
			if answer := reply("udp", buf[:n]); answer != nil {
				forged := slices.Clone(answer)
				forged[0] ^= 0xff
				forged[len(forged)-1] = 66
				_, _ = p.WriteToUDP(forged, from)
				_, _ = p.WriteToUDP(answer, from)
			}
		}
	}()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			var head [2]byte
			_, _ = io.ReadFull(c, head[:])
			buf := make([]byte, binary.BigEndian.Uint16(head[:]))
			_, _ = io.ReadFull(c, buf)
			answer := reply("tcp", buf)
			_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
			c.Close()
		}
	}()
	return at
}

func TestForwarder(t *testing.T) {
	good := server(t, func(_ string, m *dnsmessage.Message) *dnsmessage.Message { return m })
	long := server(t, func(network string, m *dnsmessage.Message) *dnsmessage.Message {
		m.Truncated = network == "udp"
		return m
	})
	broken := server(t, func(_ string, m *dnsmessage.Message) *dnsmessage.Message {
		m.RCode, m.Answers = dnsmessage.RCodeServerFailure, nil
		return m
	})
	silent := server(t, func(string, *dnsmessage.Message) *dnsmessage.Message { return nil })
	liar := server(t, func(_ string, m *dnsmessage.Message) *dnsmessage.Message {
		m.Questions[0].Name = dnsmessage.MustNewName("another.test.")
		return m
	})
	for name, tt := range map[string]struct {
		servers []netip.AddrPort
		code    dnsmessage.RCode
		records int
		fails   bool
	}{
		"good":                     {servers: []netip.AddrPort{good}, records: 1},
		"truncated":                {servers: []netip.AddrPort{long}, records: 1},
		"broken":                   {servers: []netip.AddrPort{broken}, code: dnsmessage.RCodeServerFailure},
		"broken, then good":        {servers: []netip.AddrPort{broken, good}, records: 1},
		"silent, then good":        {servers: []netip.AddrPort{silent, good}, records: 1},
		"another question's, then": {servers: []netip.AddrPort{liar, good}, records: 1},
		"silent":                   {servers: []netip.AddrPort{silent}, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := dnsmessage.Question{Name: dnsmessage.MustNewName("a.test."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
			a, err := NewForwarder(tt.servers...).Resolve(t.Context(), q)
			if (err != nil) != tt.fails || a.Code != tt.code || len(a.Records) != tt.records {
				t.Fatalf("Resolve() = %+v, %v", a, err)
			}
			if tt.records > 0 {
				if body, ok := a.Records[0].Body.(*dnsmessage.AResource); !ok || body.A != [4]byte{5, 6, 7, 8} {
					t.Errorf("the address is %v", a.Records[0].Body)
				}
			}
		})
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(ask(f, "a.test.", dnsmessage.TypeA, nil), false)
	f.Add(ask(f, "outcrop.internal.", dnsmessage.TypeTXT, nil), true)
	f.Fuzz(func(t *testing.T, message []byte, stream bool) {
		s := newSession(t, Config{
			Policy: Policy{Mode: Public}, Resolver: fixed{"a.test.": {"1.2.3.4"}},
			Own: func(_ context.Context, name string) bool { return name == "outcrop.internal" },
		})
		answer := s.answer(message, stream)
		if answer == nil {
			return
		}
		m := unpack(t, answer)
		if !m.Response || !stream && len(answer) > maxPacket {
			t.Errorf("%x is answered with %+v, %d bytes", message, m.Header, len(answer))
		}
	})
}

func FuzzParseAnswer(f *testing.F) {
	q := dnsmessage.Question{Name: dnsmessage.MustNewName("a.test."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
	f.Add(encodeAnswer(query{header: dnsmessage.Header{ID: 9}, question: q}, ownAnswer(q, Gateway), maxStream))
	f.Fuzz(func(t *testing.T, message []byte) {
		a, _, err := parseAnswer(message, 9, q)
		if err != nil {
			return
		}
		// What was read can be written.
		if encodeAnswer(query{question: q}, a, maxStream) == nil {
			t.Errorf("%x cannot be passed on", message)
		}
	})
}

// BenchmarkDNS is one query over the wire's name server, without anybody else.
func BenchmarkDNS(b *testing.B) {
	s := newSession(b, Config{
		Policy: Policy{Mode: Sandbox}, Own: func(_ context.Context, name string) bool { return name == "outcrop.internal" },
	})
	s.queries.SetLimit(1e9)
	s.queries.SetBurst(1e9)
	c, err := s.Connect(b.Context(), "udp", DNS)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	query, buf := ask(b, "outcrop.internal.", dnsmessage.TypeA, nil), make([]byte, 512)
	for b.Loop() {
		if _, err := c.Write(query); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}
