package oci

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/outcrop/outcrop/internal/fault"
)

// TestResume: connections that break in the middle are taken up where they were,
// with a registry that knows ranges and with one that does not.
func TestResume(t *testing.T) {
	body := make([]byte, 300_000)
	for i := range body {
		body[i] = byte(i * i >> 8)
	}
	for _, ranges := range []bool{true, false} {
		var breaks, ranged atomic.Int64
		srv := serve(t, func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
					h.ServeHTTP(w, r)
					return
				}
				if r.Header.Get("Range") != "" {
					ranged.Add(1)
				}
				if !ranges {
					r.Header.Del("Range")
				}
				h.ServeHTTP(&breaking{ResponseWriter: w, left: 100_000, breaks: &breaks, whole: !ranges && breaks.Load() > 2}, r)
			})
		})
		s := open(t, nil)
		var told []Progress
		i, err := s.Pull(t.Context(), srv.push(t, "a", imageOf(t, v1.Config{}, archive(t, member{name: "big", body: string(body)}))), PullOptions{
			Progress: func(p Progress) { told = append(told, p) },
		})
		if err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(i.Root + "/big"); err != nil || !bytes.Equal(data, body) {
			t.Errorf("ranges %t: the file is another, %v", ranges, err)
		}
		i.Release()
		if breaks.Load() < 2 || ranged.Load() < 2 {
			t.Errorf("ranges %t: it broke %d times and %d ranges were asked for: this tests nothing", ranges, breaks.Load(), ranged.Load())
		}
		last := told[len(told)-1]
		if last.Layers != 1 || last.LayersDone != 1 || last.Bytes != last.BytesDone || last.Bytes < 300_000 {
			t.Errorf("the last that was told is %+v", last)
		}
	}
}

// TestStall: a connection that brings nothing more is given up and taken up again.
func TestStall(t *testing.T) {
	var stalled atomic.Int64
	srv := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") && r.Header.Get("Range") == "" && stalled.Add(1) == 1 {
				w.Header().Set("Content-Length", "100000")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	s := open(t, nil)
	s.registries.stall = 10 * time.Millisecond
	pull(t, s, srv.push(t, "a", imageOf(t, v1.Config{}, archive(t, file("a")))))
	if stalled.Load() < 2 {
		t.Errorf("%d requests: nothing has stalled", stalled.Load())
	}
}

// breaking is an answer that breaks off.
type breaking struct {
	http.ResponseWriter
	left   int
	whole  bool
	breaks *atomic.Int64
}

func (b *breaking) Write(p []byte) (int, error) {
	if !b.whole && len(p) > b.left {
		b.breaks.Add(1)
		_, _ = b.ResponseWriter.Write(p[:b.left])
		panic(http.ErrAbortHandler)
	}
	b.left -= len(p)
	return b.ResponseWriter.Write(p)
}

// TestDamagedInTransit: bytes that a registry changes are noticed.
func TestDamagedInTransit(t *testing.T) {
	img := imageOf(t, v1.Config{}, archive(t, member{name: "a", body: strings.Repeat("a", 2000)}))
	layers, _ := img.Layers()
	digest, _ := layers[0].Digest()
	srv := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, digest.Hex) {
				c, _ := layers[0].Compressed()
				data, _ := io.ReadAll(c)
				data[1000] ^= 1
				w.Write(data)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	s := open(t, nil)
	if _, err := s.Pull(t.Context(), srv.push(t, "a", img), PullOptions{}); !fault.Is(err, "ValidationException") || !strings.Contains(err.Error(), "another digest") {
		t.Errorf("Pull() = %v", err)
	}
	if u, err := s.Usage(); err != nil || u.Layers != 0 {
		t.Errorf("the store has %+v, %v", u, err)
	}
}
