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
