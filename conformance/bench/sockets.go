package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/outcrop/outcrop/conformance/bench/figures"
	"github.com/outcrop/outcrop/internal/session"
)

// The shape of the sockets row. A connection may carry 250 frames a second each way
// (spec/runtime.md 9.1), so that one alone is paced, and it takes many to say how
// many messages get through.
const (
	messageSize = 1 << 10
	manySockets = 64
	pace        = 5 * time.Millisecond
)

// socketsRow compares messages on WebSockets through Outcrop with those on
// connections straight to the same agent in its sandbox: there and back, 1 KiB.
func socketsRow(ctx context.Context, report *figures.Report) error {
	dir, err := os.MkdirTemp("", "outcrop-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := start(ctx, dir)
	if err != nil {
		return err
	}
	defer b.stop()
	through := func() (io.ReadWriteCloser, error) { return b.socket(ctx) }
	first, err := through() // starts the session
	if err != nil {
		return err
	}
	defer first.Close()
	use, err := b.use(ctx)
	if err != nil {
		return err
	}
	defer use.Release()
	direct := func() (io.ReadWriteCloser, error) { return directSocket(ctx, use) }

	fmt.Printf("\n%-22s %16s %16s %7s %10s %10s\n", "WebSocket (1 KiB)", "outcrop msg/s", "direct msg/s", "ratio", "p50", "direct p50")
	for _, row := range []figures.Socket{{AtOnce: 1, Paced: true}, {AtOnce: manySockets}} {
		var ours, theirs []result
		for range rounds {
			for way, to := range map[*[]result]func() (io.ReadWriteCloser, error){&ours: through, &theirs: direct} {
				r, err := talk(to, row.AtOnce, row.Paced)
				if err != nil {
					return err
				}
				*way = append(*way, r)
			}
		}
		a, z := medians(ours), medians(theirs)
		row.Through, row.Direct, row.P50, row.DirectP50 = a.perSecond, z.perSecond, int64(a.p50), int64(z.p50)
		report.Sockets = append(report.Sockets, row)
		fmt.Printf("%2d at once              %16.0f %16.0f %7.2f %10s %10s\n", row.AtOnce, row.Through, row.Direct, row.Ratio(), ms(a.p50), ms(z.p50))
	}
	fmt.Printf("one alone is asked every %v, as a connection may carry 250 frames a second\n", pace)
	return nil
}

// use is the session of the benchmark.
func (b *bench) use(ctx context.Context) (*session.Use, error) {
	keys := b.server.Sessions().List(func(k session.Key) bool { return k.ID == sessionID })
	if len(keys) != 1 {
		return nil, fmt.Errorf("%d sessions run, want 1", len(keys))
	}
	return b.server.Sessions().Acquire(ctx, keys[0].Key, func(context.Context, string) (session.Plan, error) {
		return session.Plan{}, errors.New("the session of the benchmark has ended")
	})
}

// socket is a connection to the agent's WebSocket through the server, signed.
func (b *bench) socket(ctx context.Context) (io.ReadWriteCloser, error) {
	path := "/runtimes/" + url.QueryEscape(b.arn) + "/ws"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.addr+path, nil)
	if err != nil {
		return nil, err
	}
	req.URL.RawPath = path
	req.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", sessionID)
	nothing := sha256.Sum256(nil)
	creds := aws.Credentials{AccessKeyID: b.creds.AccessKeyID, SecretAccessKey: b.creds.SecretAccessKey}
	if err := v4.NewSigner().SignHTTP(ctx, creds, req, hex.EncodeToString(nothing[:]), "bedrock-agentcore", b.creds.Region, time.Now()); err != nil {
		return nil, err
	}
	shake(req.Header)
	conn, err := net.Dial("tcp", b.addr)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil { // nothing hangs for ever
		return nil, errors.Join(err, conn.Close())
	}
	r := bufio.NewReaderSize(conn, 16<<10)
	err = req.Write(conn)
	var resp *http.Response
	if err == nil {
		resp, err = http.ReadResponse(r, req)
	}
	if err == nil {
		err = switched(resp)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return struct {
		io.Reader
		io.WriteCloser
	}{r, conn}, nil
}

// directSocket is a connection to the agent's WebSocket through nothing but the
// engine.
func directSocket(ctx context.Context, use *session.Use) (io.ReadWriteCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost:8080/ws", nil)
	if err != nil {
		return nil, err
	}
	shake(req.Header)
	resp, err := use.Transport().RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if err := switched(resp); err != nil {
		return nil, errors.Join(err, resp.Body.Close())
	}
	return resp.Body.(io.ReadWriteCloser), nil // as http.Transport has it for 101
}

// shake makes a request a WebSocket's handshake.
func shake(h http.Header) {
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", "websocket")
	h.Set("Sec-WebSocket-Version", "13")
	h.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}

func switched(resp *http.Response) error {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	text, _ := io.ReadAll(resp.Body) // for the error alone
	return fmt.Errorf("the handshake was answered %s: %s", resp.Status, text)
}

// talk has n connections send a message and wait for it to come back, for a while.
func talk(open func() (io.ReadWriteCloser, error), n int, paced bool) (result, error) {
	conns := make([]io.ReadWriteCloser, n)
	for i := range conns {
		c, err := open()
		if err != nil {
			return result{}, err
		}
		defer c.Close()
		conns[i] = c
	}
	var mu sync.Mutex
	var all []time.Duration
	var failed error
	var wg sync.WaitGroup
	begun := time.Now()
	for _, c := range conns {
		wg.Go(func() {
			took, err := messages(c, begun.Add(duration), paced)
			mu.Lock()
			defer mu.Unlock()
			all, failed = append(all, took...), errors.Join(failed, err)
		})
	}
	wg.Wait()
	elapsed := time.Since(begun)
	if failed != nil {
		return result{}, failed
	}
	slices.Sort(all)
	return result{perSecond: float64(len(all)) / elapsed.Seconds(), p50: all[len(all)/2]}, nil
}

// messages sends whole frames and reads them: that of a client is masked, with
// zeros, and that of a server is not (RFC 6455 5.2).
func messages(c io.ReadWriter, until time.Time, paced bool) (took []time.Duration, err error) {
	const binary, final, masked, twoBytes = 0x2, 0x80, 0x80, 126
	text := payload(messageSize)
	sent := append([]byte{final | binary, masked | twoBytes, messageSize >> 8, messageSize & 0xff, 0, 0, 0, 0}, text...)
	want := append([]byte{final | binary, twoBytes, messageSize >> 8, messageSize & 0xff}, text...)
	got := make([]byte, len(want))
	for time.Now().Before(until) {
		begun := time.Now()
		if _, err := c.Write(sent); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(c, got); err != nil {
			return nil, err
		}
		if !bytes.Equal(got, want) {
			return nil, fmt.Errorf("a message came back as %.40q", got)
		}
		took = append(took, time.Since(begun))
		if paced {
			time.Sleep(pace - time.Since(begun)%pace)
		}
	}
	return took, nil
}
