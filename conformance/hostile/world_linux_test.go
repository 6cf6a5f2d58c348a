package hostile

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/conformance/netns"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/dns/dnsmessage"
)

// The addresses of the world around the machine, which all lead to one other namespace.
const (
	ours     = "10.77.0.1"
	theirs   = "10.77.0.2" // private
	names    = "10.77.0.53"
	public   = "93.184.215.14"
	metadata = "169.254.169.254"
	linked   = "169.254.7.7"
	ours6    = "fd77::1"
	theirs6  = "fd77::2"
	amazon6  = "fd00:ec2::254"
)

// The ports of those who mean harm, without TLS and with it.
const plainPort, securePort = ":8080", ":8443"

// world is what surrounds the machine.
type world struct {
	// roots is a file with the authority of everybody's certificate.
	roots string
	cert  tls.Certificate
	// visits are requests that came to somebody, by address.
	mu     sync.Mutex
	visits map[string]int
	// asked is how often a name was looked up.
	asked map[string]int
	// site is what is at the public and at the private address.
	site http.Handler
	// enemy is at two ports of the private address.
	enemy *enemy
}

// enter runs the calling test again, in namespaces of its own that have such a world, and
// returns it there and nil outside.
func enter(t *testing.T) *world {
	t.Helper()
	if !netns.Inside(t, names, nil) {
		return nil
	}
	w := &world{visits: map[string]int{}, asked: map[string]int{}, enemy: newEnemy()}
	if err := w.play(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	return w
}

// play makes the world. It ends with the process.
func (w *world) play(dir string) error {
	if err := w.trust(dir); err != nil {
		return err
	}
	own := []string{ours + "/24", ours6 + "/64"}
	others := []string{theirs + "/24", names + "/24", public + "/32", metadata + "/32", linked + "/32", theirs6 + "/64", amazon6 + "/128"}
	if err := netns.Beside(own, others, w.serve); err != nil {
		return err
	}
	return errors.Join(lead("0.0.0.0/0"), lead("::/0"), w.listen(":80", ":443"))
}

// lead has all addresses lead to the others.
func lead(prefix string) error {
	link, err := netlink.LinkByName(netns.Link)
	if err != nil {
		return err
	}
	_, to, err := net.ParseCIDR(prefix)
	if err != nil {
		return err
	}
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: to, Scope: netlink.SCOPE_LINK}); err != nil {
		return fmt.Errorf("lead %s to the others: %w", prefix, err)
	}
	return nil
}

// trust makes the certificate that everybody has.
func (w *world) trust(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	of := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		DNSNames: []string{"good.test", "rebind.test", "private.test", "both.test", "localhost"},
	}
	for _, a := range []string{theirs, public, metadata, linked, theirs6, amazon6, "127.0.0.1", "::1"} {
		of.IPAddresses = append(of.IPAddresses, net.ParseIP(a))
	}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		return err
	}
	w.cert, w.roots = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, filepath.Join(dir, "roots.pem")
	return os.WriteFile(w.roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

// serve starts the others, in the namespace of the calling thread.
func (w *world) serve() error {
	p, err := net.ListenPacket("udp4", names+":53")
	if err != nil {
		return err
	}
	go w.resolve(p)
	if err := w.listen(":80", ":443"); err != nil {
		return err
	}
	for _, port := range []string{plainPort, securePort} {
		l, err := net.Listen("tcp", theirs+port)
		if err != nil {
			return err
		}
		if port == securePort {
			l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{w.cert}})
		}
		go w.enemy.serve(l)
	}
	return nil
}

// listen serves at ports of all addresses of the calling thread's namespace, with TLS at 443.
func (w *world) listen(at ...string) error {
	for _, a := range at {
		l, err := net.Listen("tcp", a)
		if err != nil {
			return err
		}
		if a == ":443" {
			l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{w.cert}})
		}
		s := &http.Server{Handler: http.HandlerFunc(w.visit), ReadHeaderTimeout: time.Minute}
		go func() { _ = s.Serve(l) }() // it ends with the process
	}
	return nil
}

// visit counts who was reached, and lets the public and the private site answer.
func (w *world) visit(out http.ResponseWriter, r *http.Request) {
	host, _, _ := net.SplitHostPort(r.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
	w.mu.Lock()
	w.visits[host]++
	w.mu.Unlock()
	w.site.ServeHTTP(out, r)
}

// visited forgets and returns who was reached.
func (w *world) visited() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.visits
	w.visits = map[string]int{}
	return v
}

// zone is what names lead to. Those with two lists lead to the first and then, when asked
// again, to the other, and so on.
func zone() map[string][][]string {
	return map[string][][]string{
		"good.test.":     {{public}},
		"private.test.":  {{theirs, theirs6}},
		"metadata.test.": {{metadata, amazon6}},
		"mapped.test.":   {{"::ffff:" + metadata}},
		"loop.test.":     {{"127.0.0.1", "::1"}},
		"linked.test.":   {{linked}},
		"both.test.":     {{metadata, theirs, public}},
		"rebind.test.":   {{public}, {theirs}, {public}, {metadata}, {public}, {"127.0.0.1"}},
	}
}

// resolve answers for the zone, with answers that nobody may keep.
func (w *world) resolve(p net.PacketConn) {
	buf, zone := make([]byte, 4096), zone()
	for {
		n, from, err := p.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		q := m.Questions[0]
		name := strings.ToLower(q.Name.String())
		m.Response, m.Additionals = true, nil
		lists := zone[name]
		if lists == nil {
			m.RCode = dnsmessage.RCodeNameError
		} else {
			w.mu.Lock()
			i := w.asked[name]
			if q.Type == dnsmessage.TypeA {
				w.asked[name]++
			}
			w.mu.Unlock()
			m.Answers = records(q, lists[i%len(lists)])
		}
		if packed, err := m.Pack(); err == nil {
			_, _ = p.WriteTo(packed, from)
		}
	}
}

func records(q dnsmessage.Question, list []string) (out []dnsmessage.Resource) {
	head := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
	for _, text := range list {
		ip := net.ParseIP(text)
		four := !strings.Contains(text, ":")
		switch {
		case four && q.Type == dnsmessage.TypeA:
			out = append(out, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: [4]byte(ip.To4())}})
		case !four && q.Type == dnsmessage.TypeAAAA:
			out = append(out, dnsmessage.Resource{Header: head, Body: &dnsmessage.AAAAResource{AAAA: [16]byte(ip.To16())}})
		}
	}
	return out
}
