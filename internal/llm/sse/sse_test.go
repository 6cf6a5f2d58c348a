package sse_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/outcrop/outcrop/internal/llm/sse"
)

func read(r io.Reader) (out []string, err error) {
	for e, failed := range sse.Read(r) {
		if failed != nil {
			return out, failed
		}
		out = append(out, fmt.Sprintf("%s=%s", e.Name, e.Data))
	}
	return out, nil
}

// TestRead follows the standard as far as providers use it.
func TestRead(t *testing.T) {
	for in, want := range map[string]string{
		"data: a\n\n":                            "[=a]",
		"event: x\r\ndata:a\r\n\r\ndata: b\n\n":  "[x=a =b]",
		"data: a\ndata: b\n\n":                   "[=a\nb]",
		": ping\n\nid: 1\nretry: 2\ndata: a\n\n": "[=a]",
		"data: broken off":                       "[]",
		"data\n\n":                               "[=]",
		"event: x\n\ndata: a\n\n":                "[=a]",
	} {
		if got, err := read(strings.NewReader(in)); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q: %q %v, want %q", in, got, err, want)
		}
		if got, err := read(iotest.OneByteReader(strings.NewReader(in))); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q byte by byte: %q %v, want %q", in, got, err, want)
		}
	}
	if _, err := read(iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	if _, err := read(strings.NewReader("data: " + strings.Repeat("x", sse.MaxEvent+1<<16))); !errors.Is(err, sse.ErrTooLong) {
		t.Error(err)
	}
	if _, err := read(strings.NewReader(strings.Repeat("data: "+strings.Repeat("x", 1<<20)+"\n", 9))); !errors.Is(err, sse.ErrTooLong) {
		t.Error(err)
	}
}
