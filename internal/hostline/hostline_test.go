package hostline

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// shake is a handshake as the SDK's WebSocket library writes it, with its second
// Host in the middle of what was signed.
const shake = "GET /runtimes/a%3Ab/ws/shells?shellId=x HTTP/1.1\r\n" +
	"Host: bedrock-agentcore.us-east-1.amazonaws.com\r\n" +
	"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" +
	second +
	"X-Amz-Date: 20260101T000000Z\r\nAuthorization: AWS4-HMAC-SHA256 Credential=x\r\n\r\n"

const second = "Host: bedrock-agentcore.us-east-1.amazonaws.com\r\n"

// through is what a server reads of what a client sends, in reads of at most n
// bytes of each other's.
func through(sent string, n int) (string, error) {
	var f first
	from := io.Reader(strings.NewReader(sent))
	if n > 0 {
		from = &slow{from, n}
	}
	var got bytes.Buffer
	buf := make([]byte, 4<<10)
	for {
		read := from.Read
		if !f.over {
			read = func(p []byte) (int, error) { return f.read(from, p) }
		}
		m, err := read(buf)
		got.Write(buf[:m])
		if err == io.EOF {
			return got.String(), nil
		}
		if err != nil {
			return got.String(), err
		}
	}
}

// slow reads n bytes at a time.
type slow struct {
	io.Reader
	n int
}

func (s *slow) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), s.n)]) }

func TestSecondHost(t *testing.T) {
	change := func(old, new string) string { return strings.Replace(shake, old, new, 1) }
	post := strings.Replace(shake, "GET ", "POST ", 1)
	for name, c := range map[string]struct {
		sent  string
		whole bool // passes as it came
	}{
		"the SDK's":                          {shake, false},
		"frames behind it":                   {shake + "\x81\x85\x00\x00\x00\x00hello" + second, false},
		"another request behind it":          {shake + shake, false},
		"a header of another case":           {change("\r\n"+second, "\r\nhOST:\tbedrock-agentcore.us-east-1.amazonaws.com \r\n"), false},
		"Upgrade twice":                      {change("X-Amz-Date", "upgrade: WebSocket\r\nX-Amz-Date"), false},
		"one Host":                           {change(second, ""), true},
		"three":                              {change(second, second+second), true},
		"another Host":                       {change("\r\n"+second+"X-Amz", "\r\nHost: iam.amazonaws.com\r\nX-Amz"), true},
		"another case":                       {change("\r\n"+second+"X-Amz", "\r\n"+strings.ReplaceAll(second, "bedrock", "Bedrock")+"X-Amz"), true},
		"empty Hosts":                        {"GET / HTTP/1.1\r\nHost:\r\nUpgrade: websocket\r\nHost: \r\n\r\n", true},
		"no handshake":                       {change("Upgrade: websocket\r\n", ""), true},
		"another upgrade":                    {change("Upgrade: websocket", "Upgrade: h2c"), true},
		"two upgrades":                       {change("X-Amz-Date", "Upgrade: h2c\r\nX-Amz-Date"), true},
		"a body follows":                     {change("X-Amz-Date", "Content-Length: 5\r\nX-Amz-Date"), true},
		"no body follows, in words":          {change("X-Amz-Date", "Content-Length: 0\r\nX-Amz-Date"), true},
		"chunks follow":                      {change("X-Amz-Date", "Transfer-Encoding: chunked\r\nX-Amz-Date"), true},
		"POST":                               {post, true},
		"HTTP/1.0":                           {change("HTTP/1.1", "HTTP/1.0"), true},
		"HTTP/1.10":                          {change("HTTP/1.1", "HTTP/1.10"), true},
		"no version":                         {change(" HTTP/1.1", ""), true},
		"two spaces":                         {change("GET ", "GET  "), true},
		"a space in the target":              {change("shellId=x", "shellId=x y"), true},
		"a lone LF":                          {change("websocket\r\n", "websocket\n"), true},
		"a lone CR":                          {change("websocket\r\n", "websocket\rX: y\r\n"), true},
		"a NUL":                              {change("20260101", "2026\x000101"), true},
		"bytes above ASCII":                  {change("20260101", "2026\u00e401"), true},
		"a folded line":                      {change("Connection: Upgrade", "Connection:\r\n Upgrade"), true},
		"a folded second Host":               {change(second+"X-Amz", second+" \r\nX-Amz"), true},
		"a space before a colon":             {change(second+"X", strings.Replace(second, ":", " :", 1)+"X"), true},
		"a line without a colon":             {change("X-Amz-Date", "X-Amz-Date\r\nX-Amz-Date"), true},
		"a line without a name":              {change("X-Amz-Date", ": x\r\nX-Amz-Date"), true},
		"lines before it":                    {"\r\n" + shake, true},
		"lines of LF alone":                  {strings.ReplaceAll(shake, "\r", ""), true},
		"an end of LF alone":                 {change("x\r\n\r\n", "x\r\n\n"), true},
		"the second request of a connection": {"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n" + shake, true},
		"behind a body":                      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + shake, true},
		"too long":                           {change("X-Amz-Date", "X-Long: "+strings.Repeat("x", maxHead)+"\r\nX-Amz-Date"), true},
		"as long as it may be":               {change("X-Amz-Date", "X-Long: "+strings.Repeat("x", maxHead-len(shake)-100)+"\r\nX-Amz-Date"), false},
		"it breaks off":                      {shake[:len(shake)-2], true},
		"nothing":                            {"", true},
		"TLS":                                {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", true},
		"G":                                  {"G", true},
	} {
		for _, n := range []int{0, 1, 7, 1460} {
			got, err := through(c.sent, n)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			want := c.sent
			if !c.whole {
				h := head{}
				h.scan([]byte(c.sent))
				want = c.sent[:h.from] + c.sent[h.to:]
				if len(want) == len(c.sent) || !strings.EqualFold(c.sent[h.from:h.from+4], "host") {
					t.Fatalf("%s: cuts %d to %d", name, h.from, h.to)
				}
			}
			if got != want {
				t.Errorf("%s, read by %d: %.300q", name, n, got)
			}
		}
	}
}

// TestBroken: an error comes after all that came before it, and comes again.
func TestBroken(t *testing.T) {
	broke := errors.New("broke")
	for _, sent := range []string{shake[:100], "POST / HTTP/1.1\r\n", "G"} {
		for _, from := range []io.Reader{
			io.MultiReader(strings.NewReader(sent), iotest.ErrReader(broke)),
			iotest.DataErrReader(io.MultiReader(strings.NewReader(sent), iotest.ErrReader(broke))),
		} {
			var f first
			read := func(p []byte) (int, error) {
				if f.over {
					return from.Read(p)
				}
				return f.read(from, p)
			}
			var got bytes.Buffer
			buf, err := make([]byte, 64), error(nil)
			for err == nil {
				var n int
				n, err = read(buf)
				got.Write(buf[:n])
			}
			if got.String() != sent || !errors.Is(err, broke) {
				t.Errorf("%q of %q, then %v", got.String(), sent, err)
			}
		}
	}
}

// FuzzFirstHead: what passes is what came, or that without one line, which says what
// another says; then a reader that knows nothing of it reads the same request, and
// finds the same bytes behind it.
func FuzzFirstHead(f *testing.F) {
	for _, s := range []string{
		shake, shake + "tail", shake + shake, strings.Replace(shake, second, "Host: other\r\n", 1), strings.ReplaceAll(shake, "\r", ""),
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nHost: a\r\n\r\nHost: a\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\n b\r\nUpgrade: websocket\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nHost: a\r\n\n\r\n\r\n",
	} {
		f.Add(s, uint16(0))
		f.Add(s, uint16(3))
	}
	f.Fuzz(func(t *testing.T, sent string, n uint16) {
		got, err := through(sent, int(n))
		if err != nil {
			t.Fatal(err)
		}
		if other, _ := through(sent, int(n)%5+1); other != got {
			t.Fatalf("read otherwise it is %q, and was %q", other, got)
		}
		if got == sent {
			return
		}
		before, after := parse(t, sent), parse(t, got)
		hosts := before.fields["Host"]
		if len(hosts) != 2 || hosts[0] != hosts[1] || len(before.fields["Upgrade"]) == 0 {
			t.Fatalf("of %q: cut although its Hosts are %q", sent, hosts)
		}
		before.fields["Host"] = hosts[:1]
		if before.line != after.line || before.rest != after.rest || !maps.EqualFunc(before.fields, after.fields, slices.Equal) {
			t.Fatalf("%+v has become %+v", before, after)
		}
	})
}

type parsed struct {
	line, rest string
	fields     textproto.MIMEHeader
}

// parse reads a head as net/http does, which takes more than RFC 9112 allows.
func parse(t *testing.T, s string) (p parsed) {
	t.Helper()
	b := bufio.NewReader(strings.NewReader(s))
	r := textproto.NewReader(b)
	var err error
	if p.line, err = r.ReadLine(); err == nil {
		p.fields, err = r.ReadMIMEHeader()
	}
	if err != nil {
		t.Fatalf("%q was changed and is no request: %v", s, err)
	}
	rest, _ := io.ReadAll(b)
	p.rest = string(rest)
	return p
}

// BenchmarkFirstHead is what the first head of a connection costs.
func BenchmarkFirstHead(b *testing.B) {
	for name, sent := range map[string]string{"post": strings.Replace(shake, "GET", "POST", 1), "get": strings.Replace(shake, second, "", 1), "handshake": shake} {
		b.Run(name, func(b *testing.B) {
			buf, from := make([]byte, 4<<10), strings.NewReader("")
			b.ReportAllocs()
			for b.Loop() {
				from.Reset(sent)
				f := first{}
				if _, err := f.read(from, buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
