package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/outcrop/outcrop/internal/sandbox/socketpair"
)

func pair(t testing.TB) (a, b *Conn) {
	t.Helper()
	fa, fb, err := socketpair.Files(socketpair.Stream)
	if err != nil {
		t.Fatal(err)
	}
	if a, err = NewConn(fa); err != nil {
		t.Fatal(err)
	}
	if b, err = NewConn(fb); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func TestMessagesKeepTheirFiles(t *testing.T) {
	a, b := pair(t)
	const n = 100
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			var files []*os.File
			if i%2 == 0 { // every other message carries a pipe that holds its number
				r, w, err := os.Pipe()
				if err != nil {
					t.Error(err)
					return
				}
				defer r.Close()
				fmt.Fprint(w, i)
				w.Close()
				files = append(files, r)
			}
			// Sizes on both sides of the socket's buffer.
			arg := strings.Repeat("x", i*i*40)
			if err := a.Send(&Message{Seq: uint64(i), Start: &Start{Args: []string{arg}}}, files...); err != nil {
				t.Error(err)
			}
		})
	}
	seen := map[uint64]bool{}
	for range n {
		m, files, err := b.Receive()
		if err != nil {
			t.Fatal(err)
		}
		seen[m.Seq] = true
		if got, want := len(m.Start.Args[0]), int(m.Seq*m.Seq*40); got != want {
			t.Fatalf("message %d: %d bytes of argument, want %d", m.Seq, got, want)
		}
		if m.Seq%2 != 0 {
			if len(files) != 0 {
				t.Fatalf("message %d came with %d files, want none", m.Seq, len(files))
			}
			continue
		}
		if len(files) != 1 {
			t.Fatalf("message %d came with %d files, want 1", m.Seq, len(files))
		}
		got, err := io.ReadAll(files[0])
		files[0].Close()
		if err != nil || string(got) != fmt.Sprint(m.Seq) {
			t.Fatalf("message %d: its file holds %q (%v)", m.Seq, got, err)
		}
	}
	wg.Wait()
	if len(seen) != n {
		t.Errorf("%d different messages came, want %d", len(seen), n)
	}
	a.Close()
	if _, _, err := b.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("Receive() after close = %v, want io.EOF", err)
	}
}

func TestReceiveRefusesBadFrames(t *testing.T) {
	frame := func(length uint32, body string) []byte {
		return append(binary.BigEndian.AppendUint32(nil, length), body...)
	}
	tests := []struct {
		name  string
		bytes []byte
		want  error
	}{
		{"length too large", frame(maxFrame+1, ""), errFrame},
		{"not JSON", frame(3, "abc"), errFrame},
		{"cut in the body", frame(10, "{}"), io.ErrUnexpectedEOF},
		{"cut in the head", []byte{0, 0}, io.ErrUnexpectedEOF},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := pair(t)
			if _, err := a.sock.Write(tt.bytes); err != nil {
				t.Fatal(err)
			}
			a.Close()
			if _, _, err := b.Receive(); !errors.Is(err, tt.want) {
				t.Errorf("Receive() = %v, want %v", err, tt.want)
			}
		})
	}
}

func TestReceiveRefusesTooManyFiles(t *testing.T) {
	a, b := pair(t)
	files := make([]*os.File, 2*maxFiles)
	for i := range files {
		files[i] = os.Stdin
	}
	if err := a.Send(&Message{}, files...); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Receive(); !errors.Is(err, errFrame) {
		t.Errorf("Receive() = %v, want %v", err, errFrame)
	}
}

func FuzzReadBody(f *testing.F) {
	f.Add([]byte(`{"seq":7,"start":{"sandbox":"x","args":["a"],"mounts":[{"source":"/a","target":"/b"}]}}`))
	f.Add([]byte(`{"failed":{"kind":"gone","text":"t"}}`))
	f.Add([]byte(`{"ended":{"code":-1}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := readBody(bytes.NewReader(body), uint32(len(body)))
		if err != nil {
			return
		}
		a, b := pair(t)
		if err := a.Send(m); err != nil {
			t.Fatal(err)
		}
		got, _, err := b.Receive()
		if err != nil {
			t.Fatal(err)
		}
		// nil and empty lists are one on the wire's second pass.
		if again, _ := readAgain(t, a, b, got); !reflect.DeepEqual(got, again) {
			t.Errorf("%+v became %+v", got, again)
		}
	})
}

func readAgain(t *testing.T, a, b *Conn, m *Message) (*Message, []*os.File) {
	t.Helper()
	if err := a.Send(m); err != nil {
		t.Fatal(err)
	}
	got, files, err := b.Receive()
	if err != nil {
		t.Fatal(err)
	}
	return got, files
}

func BenchmarkRoundTrip(b *testing.B) {
	x, y := pair(b)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			m, _, err := y.Receive()
			if err != nil || y.Send(&Message{Seq: m.Seq}) != nil {
				return
			}
		}
	}()
	for b.Loop() {
		if err := x.Send(&Message{Seq: 1, Dial: &Dial{Sandbox: "0123456789abcdef", Port: 8080}}); err != nil {
			b.Fatal(err)
		}
		if _, _, err := x.Receive(); err != nil {
			b.Fatal(err)
		}
	}
	x.Close()
	<-done
}
