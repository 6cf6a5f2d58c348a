package network

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// serverTimeout is how long one server may take, attempts how often all of
	// them are asked.
	serverTimeout = 1500 * time.Millisecond
	attempts      = 2
	// maxServers is how many of resolv.conf's servers count (resolv.conf(5)).
	maxServers = 3
	// askedPacket is the size of UDP answers that we ask for: what no path
	// fragments (DNS flag day 2020).
	askedPacket = 1232
	// fileAge is how old our knowledge of resolv.conf may be.
	fileAge = 5 * time.Second
)

// A Forwarder is a Resolver that asks name servers, first over UDP.
type Forwarder struct {
	servers func() []netip.AddrPort
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
}

var _ Resolver = (*Forwarder)(nil)

// NewForwarder asks these servers, in order.
func NewForwarder(servers ...netip.AddrPort) *Forwarder {
	return &Forwarder{servers: func() []netip.AddrPort { return servers }, dial: new(net.Dialer).DialContext}
}

// NewSystemForwarder asks the servers of a file like /etc/resolv.conf, as it
// changes.
func NewSystemForwarder(path string) *Forwarder {
	f := &resolvConf{path: path}
	return &Forwarder{servers: f.servers, dial: new(net.Dialer).DialContext}
}

// UnansweredError says that no name server answered in time.
type UnansweredError struct {
	Name    string
	Servers []netip.AddrPort // that were asked; empty: there is none
	Err     error            // what the last one met; may be nil
}

func (e *UnansweredError) Error() string {
	text := "resolve " + e.Name + ": " + e.Reason()
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Reason says it for people.
func (e *UnansweredError) Reason() string {
	if len(e.Servers) == 0 {
		return "there is no name server"
	}
	var names []string
	for _, s := range e.Servers {
		names = append(names, s.String())
	}
	return "no answer from " + strings.Join(names, ", ")
}

func (e *UnansweredError) Unwrap() error { return e.Err }

// Resolve implements Resolver. Its error is an *UnansweredError.
func (f *Forwarder) Resolve(ctx context.Context, q dnsmessage.Question) (Answer, error) {
	servers := f.servers()
	if len(servers) == 0 {
		return Answer{}, &UnansweredError{Name: q.Name.String()}
	}
	var last Answer
	var failed error
	answered := false
	for range attempts {
		for _, server := range servers {
			a, err := f.ask(ctx, server, q)
			switch {
			case err != nil:
				failed = err
			case a.Code == dnsmessage.RCodeSuccess || a.Code == dnsmessage.RCodeNameError:
				return a, nil
			default: // another may know
				last, answered = a, true
			}
			if ctx.Err() != nil {
				return Answer{}, &UnansweredError{q.Name.String(), servers, context.Cause(ctx)}
			}
		}
		if answered {
			return last, nil
		}
	}
	return Answer{}, &UnansweredError{q.Name.String(), servers, failed}
}

// ask asks one server, and again over TCP if the answer was too long.
func (f *Forwarder) ask(ctx context.Context, server netip.AddrPort, q dnsmessage.Question) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, serverTimeout)
	defer cancel()
	a, truncated, err := f.exchange(ctx, "udp", server, q)
	if err == nil && truncated {
		a, _, err = f.exchange(ctx, "tcp", server, q)
	}
	if err != nil {
		return Answer{}, fmt.Errorf("ask %s: %w", server, err)
	}
	return a, nil
}

// exchange sends a question and waits for its answer. Other messages are passed
// over: somebody may try to be faster than the server.
func (f *Forwarder) exchange(ctx context.Context, network string, server netip.AddrPort, q dnsmessage.Question) (a Answer, truncated bool, err error) {
	id, err := queryID()
	if err != nil {
		return a, false, err
	}
	message, err := encodeQuery(id, q)
	if err != nil {
		return a, false, err
	}
	c, err := f.dial(ctx, network, server.String())
	if err != nil {
		return a, false, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if network == "tcp" {
		message = framed(message)
	}
	if _, err := c.Write(message); err != nil {
		return a, false, err
	}
	buf := make([]byte, maxStream)
	for {
		n, err := receive(c, network, buf)
		if err != nil {
			return a, false, err
		}
		if a, truncated, err = parseAnswer(buf[:n], id, q); err == nil {
			return a, truncated, nil
		}
		if network == "tcp" {
			return a, false, err
		}
	}
}

// receive reads one message.
func receive(c net.Conn, network string, buf []byte) (int, error) {
	if network == "udp" {
		return c.Read(buf)
	}
	return readFramed(c, buf)
}

func queryID() (uint16, error) {
	var b [2]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint16(b[:]), nil
}

// encodeQuery writes our own query: nothing that a guest has sent besides the
// question goes out.
func encodeQuery(id uint16, q dnsmessage.Question) ([]byte, error) {
	var size dnsmessage.ResourceHeader
	if err := size.SetEDNS0(askedPacket, dnsmessage.RCodeSuccess, false); err != nil {
		return nil, err
	}
	m := dnsmessage.Message{
		Header:      dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions:   []dnsmessage.Question{q},
		Additionals: []dnsmessage.Resource{{Header: size, Body: &dnsmessage.OPTResource{}}},
	}
	return m.Pack()
}

var errNotAnswer = errors.New("it is no answer to the question")

// parseAnswer reads a server's message.
func parseAnswer(message []byte, id uint16, q dnsmessage.Question) (a Answer, truncated bool, err error) {
	var p dnsmessage.Parser
	h, err := p.Start(message)
	if err != nil {
		return a, false, err
	}
	if !h.Response || h.ID != id {
		return a, false, errNotAnswer
	}
	questions, err := p.AllQuestions()
	if err != nil {
		return a, false, err
	}
	if len(questions) != 1 || questions[0].Type != q.Type || questions[0].Class != q.Class ||
		!strings.EqualFold(questions[0].Name.String(), q.Name.String()) {
		return a, false, errNotAnswer
	}
	if h.Truncated {
		return Answer{Code: h.RCode}, true, nil
	}
	records, err := p.AllAnswers()
	if err != nil {
		return a, false, err
	}
	return Answer{Code: h.RCode, Records: records}, false, nil
}

// resolvConf reads a file's name servers when it has changed.
type resolvConf struct {
	path string

	mu     sync.Mutex
	looked time.Time
	list   []netip.AddrPort
}

// servers returns the file's servers, or those that it had before it could not
// be read.
func (r *resolvConf) servers() []netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.looked) < fileAge {
		return r.list
	}
	r.looked = time.Now()
	if text, err := os.ReadFile(r.path); err == nil {
		r.list = parseResolvConf(string(text))
	}
	return r.list
}

// parseResolvConf finds the servers of a resolv.conf(5). Without any it is the
// machine itself.
func parseResolvConf(text string) []netip.AddrPort {
	var list []netip.AddrPort
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" || len(list) == maxServers {
			continue
		}
		if addr, err := netip.ParseAddr(fields[1]); err == nil {
			list = append(list, netip.AddrPortFrom(addr, DNS.Port()))
		}
	}
	if len(list) == 0 {
		list = append(list, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), DNS.Port()))
	}
	return list
}
