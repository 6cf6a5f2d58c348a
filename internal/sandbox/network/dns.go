package network

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Bounds of what one guest may ask.
const (
	queriesInFlight  = 64
	queriesPerSecond = 200
	queriesAtOnce    = 400
	// queryTimeout is less than the 5 s after which most resolvers ask again.
	queryTimeout = 4500 * time.Millisecond
	// packetIdle is when a port is not asked from any more: later than the answer
	// to the last query.
	packetIdle = 5 * time.Second
	// streamIdle is how long a connection may be silent (RFC 7766 6.2.3).
	streamIdle = 10 * time.Second
	maxQuery   = 4 << 10
	// dnsConnections are at once. Most resolvers ask from a new port each time,
	// which is a connection until the wire forgets it some seconds later.
	dnsConnections = 256
)

// Sizes of answers over UDP: what a client takes that does not say (RFC 1035
// 4.2.1), and what it gets at most whatever it says.
const (
	plainPacket = 512
	maxPacket   = 4 << 10
	maxStream   = 64<<10 - 1
)

// ownTTL is how long a guest may keep the address of one of our names, in
// seconds.
const ownTTL = 60

// A Resolver answers questions about names.
type Resolver interface {
	// Resolve asks for the records of a name. An error means that nobody
	// answered; that there is no such name is an Answer.
	Resolve(ctx context.Context, q dnsmessage.Question) (Answer, error)
}

// An Answer is what a Resolver found.
type Answer struct {
	Code    dnsmessage.RCode
	Records []dnsmessage.Resource
}

// servePackets answers queries over UDP until there are no more.
func (s *Session) servePackets(c net.Conn) {
	defer c.Close()
	stop := context.AfterFunc(s.ctx, func() { c.Close() })
	defer stop()
	buf := make([]byte, maxQuery)
	for {
		_ = c.SetReadDeadline(time.Now().Add(packetIdle))
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		query := append([]byte(nil), buf[:n]...)
		select {
		case s.inFlight <- struct{}{}:
			s.served.Go(func() { // not after Close: this one is still served
				defer func() { <-s.inFlight }()
				if answer := s.answer(query, false); answer != nil {
					_, _ = c.Write(answer) // a guest that is gone needs none
				}
			})
		default: // it asks again
		}
	}
}

// serveStream answers queries over TCP, each with its length before it, one
// after the other.
func (s *Session) serveStream(c net.Conn) {
	defer c.Close()
	stop := context.AfterFunc(s.ctx, func() { c.Close() })
	defer stop()
	buf := make([]byte, maxQuery)
	for {
		_ = c.SetReadDeadline(time.Now().Add(streamIdle))
		n, err := readFramed(c, buf)
		if err != nil {
			return
		}
		select {
		case s.inFlight <- struct{}{}:
		case <-s.ctx.Done():
			return
		}
		answer := s.answer(buf[:n], true)
		<-s.inFlight
		if answer == nil {
			return
		}
		_ = c.SetWriteDeadline(time.Now().Add(streamIdle))
		if _, err := c.Write(framed(answer)); err != nil {
			return
		}
	}
}

// framed is a message as it goes over TCP: with its length before it (RFC 1035
// 4.2.2).
func framed(message []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
}

// readFramed reads such a message. One that buf does not hold is an error.
func readFramed(r io.Reader, buf []byte) (int, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, err
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	if n > len(buf) {
		return 0, io.ErrShortBuffer
	}
	return io.ReadFull(r, buf[:n])
}

// A query is what a guest asks.
type query struct {
	header   dnsmessage.Header
	question dnsmessage.Question
	size     int // of the longest answer that it takes over UDP
}

// parseQuery reads a guest's message. ok is false for what is not worth an
// answer; code is what to say instead of looking anything up.
func parseQuery(message []byte) (q query, code dnsmessage.RCode, ok bool) {
	var p dnsmessage.Parser
	h, err := p.Start(message)
	if err != nil || h.Response {
		return q, 0, false
	}
	q = query{header: h, size: plainPacket}
	if h.OpCode != 0 {
		return q, dnsmessage.RCodeNotImplemented, true
	}
	questions, err := p.AllQuestions()
	if err != nil || len(questions) != 1 {
		return q, dnsmessage.RCodeFormatError, true
	}
	q.question = questions[0]
	if p.SkipAllAnswers() != nil || p.SkipAllAuthorities() != nil {
		return q, dnsmessage.RCodeFormatError, true
	}
	for {
		r, err := p.AdditionalHeader()
		if err == dnsmessage.ErrSectionDone {
			break
		}
		if err != nil || p.SkipAdditional() != nil {
			return q, dnsmessage.RCodeFormatError, true
		}
		if r.Type == dnsmessage.TypeOPT { // its class is the size
			q.size = min(max(int(r.Class), plainPacket), maxPacket)
		}
	}
	return q, dnsmessage.RCodeSuccess, true
}

// answer returns the message that answers a guest's, or nil for none.
func (s *Session) answer(message []byte, stream bool) []byte {
	q, code, ok := parseQuery(message)
	if !ok {
		return nil
	}
	var a Answer
	switch {
	case code != dnsmessage.RCodeSuccess:
		a.Code = code
	case !s.queries.AllowN(s.cfg.Now(), 1):
		a.Code = dnsmessage.RCodeRefused
	default:
		ctx, cancel := context.WithTimeout(s.ctx, queryTimeout)
		a = s.resolve(ctx, q.question)
		cancel()
	}
	limit := q.size
	if stream {
		limit = maxStream
	}
	return encodeAnswer(q, a, limit)
}

// Types that dnsmessage does not name.
const (
	typeSVCB dnsmessage.Type = 64
	typeIXFR dnsmessage.Type = 251
	typeAXFR dnsmessage.Type = 252
)

// resolve answers a question under the policy. Addresses that the policy does
// not let a guest connect to are not left out: the connection is refused, with a
// reason that can be told, and networks that a profile opens later need no other
// name server.
func (s *Session) resolve(ctx context.Context, q dnsmessage.Question) Answer {
	name := strings.ToLower(q.Name.String())
	if q.Class != dnsmessage.ClassINET {
		return Answer{Code: dnsmessage.RCodeRefused}
	}
	if s.cfg.Own != nil && s.cfg.Own(ctx, strings.TrimSuffix(name, ".")) {
		return ownAnswer(q, Gateway)
	}
	if reason, fix := s.unresolvable(name); reason != "" {
		s.note(Refusal{Network: "dns", Name: strings.TrimSuffix(name, "."), Reason: reason, Fix: fix})
		return Answer{Code: dnsmessage.RCodeNameError}
	}
	switch q.Type {
	case dnsmessage.TypeALL, typeIXFR, typeAXFR:
		return Answer{Code: dnsmessage.RCodeRefused}
	case dnsmessage.TypeAAAA, typeSVCB, dnsmessage.TypeHTTPS: // addresses that are not IPv4, or hints of such
		return Answer{}
	}
	a, err := s.cfg.Resolver.Resolve(ctx, q)
	s.noteVain(name, a.Code, err)
	if err != nil {
		return Answer{Code: dnsmessage.RCodeServerFailure}
	}
	kept := a.Records[:0:0]
	for _, r := range a.Records {
		if r.Header.Class != dnsmessage.ClassINET || r.Header.Type != q.Type && r.Header.Type != dnsmessage.TypeCNAME {
			continue
		}
		kept = append(kept, r)
		if body, ok := r.Body.(*dnsmessage.AResource); ok {
			s.answered.add(name, netip.AddrFrom4(body.A), time.Duration(r.Header.TTL)*time.Second, s.cfg.Now())
		}
	}
	return Answer{Code: a.Code, Records: kept}
}

// noteVain tells of a name that was asked for in vain, once. A guest that has ended
// asks no more.
func (s *Session) noteVain(name string, code dnsmessage.RCode, err error) {
	var reason string
	unanswered, ok := errors.AsType[*UnansweredError](err)
	switch {
	case s.ctx.Err() != nil:
		return
	case ok:
		reason = unanswered.Reason()
	case err != nil:
		reason = "no answer"
	case code == dnsmessage.RCodeNameError:
		reason = "no such name"
	case code == dnsmessage.RCodeSuccess:
		return
	case code == dnsmessage.RCodeServerFailure:
		reason = "the name server could not find out (SERVFAIL)"
	case code == dnsmessage.RCodeRefused:
		reason = "the name server refused to tell (REFUSED)"
	default:
		reason = "the name server answered with the error " + strconv.Itoa(int(code))
	}
	s.note(Refusal{Network: "dns", Name: strings.TrimSuffix(name, "."), Reason: reason, Failed: true})
}

// ownAnswer is the address of one of our names.
func ownAnswer(q dnsmessage.Question, addr netip.Addr) Answer {
	if q.Type != dnsmessage.TypeA {
		return Answer{}
	}
	return Answer{Records: []dnsmessage.Resource{{
		Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: ownTTL},
		Body:   &dnsmessage.AResource{A: addr.As4()},
	}}}
}

// unresolvable tells why a name is not looked up; the reason is empty when it is.
func (s *Session) unresolvable(name string) (reason, fix string) {
	p := s.cfg.Policy
	switch {
	case p.Mode == Sandbox:
		return "network mode SANDBOX resolves no names but Outcrop's", "use network mode PUBLIC or VPC"
	case p.Mode == VPC && p.Profile == nil:
		return p.unmapped()
	case len(p.Hosts) > 0 && !p.hostAllowed(name):
		return "it is none of the allowed hosts (" + strings.Join(p.Hosts, ", ") + ")", p.fixHost(name)
	case s.cfg.Resolver == nil:
		return "no name server is configured", ""
	}
	return "", ""
}

// encodeAnswer writes an answer of at most limit bytes. What does not fit is
// left out, all of it, and the client told to ask over TCP.
func encodeAnswer(q query, a Answer, limit int) []byte {
	m := dnsmessage.Message{
		Header: dnsmessage.Header{
			ID: q.header.ID, Response: true, OpCode: q.header.OpCode, RecursionDesired: q.header.RecursionDesired,
			RecursionAvailable: true, RCode: a.Code,
		},
		Answers: a.Records,
	}
	if q.question.Name.Length > 0 {
		m.Questions = []dnsmessage.Question{q.question}
	}
	packed, err := m.Pack()
	if err != nil {
		m.Answers, m.RCode = nil, dnsmessage.RCodeServerFailure
		packed, err = m.Pack()
	}
	if err == nil && len(packed) > limit {
		m.Answers, m.Truncated = nil, true
		packed, err = m.Pack()
	}
	if err != nil {
		return nil
	}
	return packed
}
