package app

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are pipes.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestDialledAhead: a client may keep a connection for as long before its first request as
// between two, and one that never brings a request ends.
func TestDialledAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Server{cfg: Config{Log: slog.New(slog.DiscardHandler)}}
		server := s.server()
		server.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		l := make(pipes)
		go func() { _ = answer(server, l) }()
		defer server.Close()

		client, served := net.Pipe()
		l <- served
		in := bufio.NewReader(client)
		for range 2 {
			time.Sleep(90 * time.Second)
			if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			a, err := http.ReadResponse(in, nil)
			if err != nil || a.StatusCode != http.StatusOK {
				t.Fatalf("%v, %v", a, err)
			}
		}
		began := time.Now()
		if _, err := in.ReadByte(); err != io.EOF || time.Since(began) != silence {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
