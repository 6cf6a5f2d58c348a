package upstream

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

func TestMessages(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"jsonrpc":"2.0","id":1,"result":{"a":[1,{"b":"]}"}]}}`, `id 1 result {"a":[1,{"b":"]}"}]}`},
		{" \n{ \"result\" : { } , \"id\" : \"x\\\"y\" }\t", `id "x\"y" result { }`},
		{`{"id":null,"error":{"code":-1,"message":"m"},"result":null}`, `id null result null error {"code":-1,"message":"m"}`},
		{`{"\u0069d":2,"method":"ping"}`, `id 2 method "ping"`},
		{`[{"id":1,"result":{}} , {"method":"n","params":[]}]`, `id 1 result {};method "n" params []`},
		{`{"id":1,"result":{"a":"\ud83d"}}`, `id 1 result {"a":"\ud83d"}`},
		{`{"id":1}`, "the server's answer is not of MCP: it is no JSON-RPC message: it has neither method nor result nor error"},
		{`{"id":1,"method":7}`, "the server's answer is not of MCP: its method is no string"},
		{`[1]`, "the server's answer is not of MCP: it is no JSON object"},
		{`7`, "the server's answer is not of MCP: it is no JSON object"},
		{``, "the server's answer is not of MCP: it is not JSON"},
		{`{"id":1,"result":{}}x`, "the server's answer is not of MCP: it is not JSON"},
		{"{\"id\":1,\"result\":{\"a\":\"\xff\"}}", "the server's answer is not of MCP: it is not JSON"},
	} {
		var got []string
		list, err := messages([]byte(c.in))
		if err != nil {
			got = append(got, err.Error())
		} else {
			for m, err := range list {
				if err != nil {
					got = append(got, err.Error())
					continue
				}
				var parts []string
				for _, p := range []struct {
					name  string
					value []byte
				}{{"id", m.id}, {"method", m.method}, {"params", m.params}, {"result", m.result}, {"error", m.failure}} {
					if p.value != nil {
						parts = append(parts, p.name+" "+string(p.value))
					}
				}
				got = append(got, strings.Join(parts, " "))
			}
		}
		if s := strings.Join(got, ";"); s != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.in, s, c.want)
		}
	}
}

func TestEvents(t *testing.T) {
	for _, c := range []struct {
		in, want string
		lastID   string
	}{
		{"data: a\n\ndata:b\n\n", "a|b", ""},
		{"\xef\xbb\xbfdata: a\r\n\r\n", "a", ""},
		{"data: a\r\rdata: b\r\r", "a|b", ""},
		{"data: a\ndata:  b\ndata\n\n", "a\n b\n", ""},
		{"id: 1\ndata: a\n\nid: 2\ndata:\n\nid: 3\x00\n\n", "a", "2"},
		{"event: message\ndata: a\n\nevent: other\ndata: b\n\n", "a", ""},
		{": c\nretry: 5\nnothing\ndata: a\n\ndata: lost", "a", ""},
		{"data: " + strings.Repeat("x", 9000) + "\n\n", strings.Repeat("x", 9000), ""},
	} {
		for _, reader := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in))} {
			e := &events{in: bufio.NewReaderSize(reader, 16), left: 1 << 20, max: 1 << 16}
			got, err := all(e)
			if !errors.Is(err, io.EOF) || strings.Join(got, "|") != c.want || e.lastID != c.lastID {
				t.Errorf("%q: %q, last id %q, %v", c.in, got, e.lastID, err)
			}
		}
	}
	var large *tooLarge
	if _, err := all(&events{in: bufio.NewReader(strings.NewReader("data: 12\ndata: 34\n\n")), left: 1000, max: 4}); err != nil && !errors.Is(err, io.EOF) {
		t.Errorf("at the limit: %v", err)
	}
	if _, err := all(&events{in: bufio.NewReader(strings.NewReader("data: 12\ndata: 345\n\n")), left: 1000, max: 4}); !errors.As(err, &large) || large.stream {
		t.Errorf("beyond it: %v", err)
	}
	if _, err := all(&events{in: bufio.NewReader(strings.NewReader(strings.Repeat("\r", 17))), left: 16 * minLine, max: 64}); !errors.As(err, &large) || !large.stream {
		t.Errorf("a long stream: %v", err)
	}
}

func all(e *events) (list []string, err error) {
	for {
		data, err := e.next()
		if err != nil {
			return list, err
		}
		list = append(list, string(data))
	}
}

// FuzzMessages holds that what is taken for messages is JSON.
func FuzzMessages(f *testing.F) {
	for _, s := range []string{`{"id":1,"result":{"a":[1,"]",{}]}}`, ` [ {"id":"\u0041","error":{}} ,{"method":"m"}] `, `{"a":-1.5e+3,"b":[true,null],"":""}`, `"\\"`, "[]", "{}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		list, err := messages(in)
		if err != nil {
			return
		}
		if !json.Valid(in) {
			t.Fatalf("%q is taken for JSON", in)
		}
		for m, err := range list {
			if err != nil {
				continue
			}
			_, _ = m.err(), m.answers(1)
		}
	})
}

// FuzzEvents holds that what is read of a stream does not depend on how it comes, and that
// its limits hold.
func FuzzEvents(f *testing.F) {
	for _, s := range []string{"data: a\n\n", "\xef\xbb\xbfid: 1\r\ndata: {}\r\n\r\n", "data: a\rdata: b\r\r", ": x\n\nretry: 3\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		read := func(r io.Reader) ([]string, string) {
			e := &events{in: bufio.NewReaderSize(r, 16), left: 4 << 10, max: 256}
			list, err := all(e)
			for _, s := range list {
				if len(s) > 256+len(list)*256 {
					t.Fatalf("an event of %d bytes", len(s))
				}
			}
			return list, err.Error() + e.lastID
		}
		one, end := read(bytes.NewReader(in))
		two, also := read(iotest.OneByteReader(bytes.NewReader(in)))
		if !reflect.DeepEqual(one, two) || end != also {
			t.Fatalf("%q, %s; byte by byte %q, %s", one, end, two, also)
		}
	})
}
