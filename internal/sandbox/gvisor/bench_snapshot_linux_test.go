package gvisor

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/sandboxtest"
)

// drawing is a guest that holds some MiB of noise.
func drawing(b *testing.B, e sandbox.Engine, megabytes int) (sandbox.Sandbox, sandbox.Spec) {
	b.Helper()
	var out sandboxtest.Buffer
	spec := sandbox.Spec{
		ID: "a", Args: []string{"/opt/guest", "draw", "127.0.0.1:8080"}, Stdout: &out, SafeToCopy: true,
		Mounts: []sandbox.Mount{{Source: os.Getenv(guestVariable), Target: "/opt/guest"}},
	}
	s, err := e.Start(b.Context(), spec)
	if err != nil {
		b.Fatal(err)
	}
	out.WaitFor(b, "ready\n")
	draw(b, s, fmt.Sprintf("/hold?%d", megabytes))
	return s, spec
}

func draw(b *testing.B, s sandbox.Sandbox, path string) {
	b.Helper()
	client, closeIdle := sandboxtest.Client(s, 8080)
	defer closeIdle()
	resp, err := client.Get("http://guest" + path)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		b.Fatal(err)
	}
}

var imageSizes = [...]int{0, 50, 200, 400} // MiB

// BenchmarkSave saves a guest that goes on.
func BenchmarkSave(b *testing.B) {
	for _, size := range imageSizes {
		b.Run(fmt.Sprintf("%dMB", size), func(b *testing.B) {
			e := open(b)
			defer e.Close(context.Background())
			s, _ := drawing(b, e, size)
			for b.Loop() {
				snapshot, err := s.Save(b.Context(), true)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				b.ReportMetric(float64(snapshot.Size())/1e6, "MB")
				snapshot.Close()
				b.StartTimer()
			}
		})
	}
}

// BenchmarkResume is the time until a copy runs, and BenchmarkResumeAnswer until
// it has answered over HTTP.
func BenchmarkResume(b *testing.B)       { benchmarkResume(b, false) }
func BenchmarkResumeAnswer(b *testing.B) { benchmarkResume(b, true) }

func benchmarkResume(b *testing.B, answer bool) {
	for _, size := range imageSizes {
		b.Run(fmt.Sprintf("%dMB", size), func(b *testing.B) {
			e := open(b)
			defer e.Close(context.Background())
			s, spec := drawing(b, e, size)
			snapshot, err := s.Save(b.Context(), false)
			if err != nil {
				b.Fatal(err)
			}
			defer snapshot.Close()
			spec.Snapshot, spec.Stdout = snapshot, nil
			for i := 0; b.Loop(); i++ {
				spec.ID = fmt.Sprint(i)
				s, err := e.Start(b.Context(), spec)
				if err != nil {
					b.Fatal(err)
				}
				if answer {
					draw(b, s, "/")
				}
				b.StopTimer()
				if err := s.Stop(b.Context(), 0); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

// BenchmarkSnapshotStream writes a snapshot of 50 MiB and reads it again.
func BenchmarkSnapshotStream(b *testing.B) {
	e := open(b)
	defer e.Close(context.Background())
	s, _ := drawing(b, e, 50)
	snapshot, err := s.Save(b.Context(), false)
	if err != nil {
		b.Fatal(err)
	}
	defer snapshot.Close()
	b.SetBytes(snapshot.Size())
	for b.Loop() {
		r, w := io.Pipe()
		go func() {
			_, err := snapshot.WriteTo(w)
			w.CloseWithError(err)
		}()
		loaded, err := e.Load(b.Context(), r)
		if err != nil {
			b.Fatal(err)
		}
		loaded.Close()
	}
}
