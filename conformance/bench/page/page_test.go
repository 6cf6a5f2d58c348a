package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/conformance/bench/figures"
)

const docs = "../../../docs"

// TestPage holds the page and the charts to the figures that they come from.
func TestPage(t *testing.T) {
	r, err := figures.Read(filepath.Join(docs, source))
	if err != nil {
		t.Fatal(err)
	}
	files, err := render(r)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(docs, name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("docs/%s is not what its figures make: run `go run ./conformance/bench/page`", name)
		}
	}
}

// TestSockets: the row is on the page once a run has measured it.
func TestSockets(t *testing.T) {
	r, err := figures.Read(filepath.Join(docs, source))
	if err != nil {
		t.Fatal(err)
	}
	r.Sockets = []figures.Socket{{AtOnce: 1, Paced: true, Through: 200, Direct: 200, P50: 1_500_000, DirectP50: 1_000_000}, {AtOnce: 64, Through: 3000, Direct: 4000, P50: 2e7, DirectP50: 1e7}}
	files, err := render(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"## WebSocket messages\n", "| 1 | paced | paced |  | 1.50 ms | 1.00 ms |\n| 64 | 3000/s | 4000/s | 0.75 | 20.00 ms | 10.00 ms |\n\n## The sandbox hop"} {
		if !strings.Contains(files[pageName], want) {
			t.Errorf("%q is not on the page:\n%s", want, files[pageName])
		}
	}
}

// TestAccess: so is this one.
func TestAccess(t *testing.T) {
	r, err := figures.Read(filepath.Join(docs, source))
	if err != nil {
		t.Fatal(err)
	}
	r.Access = &figures.Access{Signature: 10_000, Token: 40_000, TokenAgain: 1_499, Decision: 2_000, Invocation: 1_000_000}
	files, err := render(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"## Letting a caller in\n", "| 40 µs | 4.0 % |\n", "| 1 µs | 0.1 % |\n", "| signature and decision | | 1.2 % |\n| new JWT and decision | | 4.2 % |\n| the invocation | 1000 µs | |\n\n## "} {
		if !strings.Contains(files[pageName], want) {
			t.Errorf("%q is not on the page:\n%s", want, files[pageName])
		}
	}
}

// TestChart holds what a chart says, also of names that mean something in XML.
func TestChart(t *testing.T) {
	c := chart{title: "a < b", unit: "ms", legend: []string{"x", "y"}, groups: []group{{"A&B", []bar{{10, 20}, {5, 0}}}}}
	text := c.svg()
	for _, want := range []string{"a &lt; b", "A&amp;B", ">10 ms<", `width="480.0"`, `width="240.0"`, `width="120.0"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
