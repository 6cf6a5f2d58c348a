// Command page writes docs/benchmarks.md and its charts from the figures of a
// run of the benchmark (conformance/bench -json).
package main

import (
	"bytes"
	_ "embed"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"github.com/outcrop/outcrop/conformance/bench/figures"
)

func main() {
	log.SetFlags(0)
	docs := flag.String("docs", "docs", "`directory` of the page; its benchmarks/figures.json is read")
	flag.Parse()
	if err := write(*docs); err != nil {
		log.Fatal("page: ", err)
	}
}

// The files, relative to the directory of documents.
const (
	source      = "benchmarks/figures.json"
	pageName    = "benchmarks.md"
	startsName  = "benchmarks/starts.svg"
	imagesName  = "benchmarks/images.svg"
	milliSecond = float64(time.Millisecond)
)

func write(docs string) error {
	r, err := figures.Read(filepath.Join(docs, source))
	if err != nil {
		return err
	}
	files, err := render(r)
	if err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(docs, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

//go:embed page.md.tmpl
var pageText string

// render makes the files, by their names.
func render(r *figures.Report) (map[string]string, error) {
	functions := template.FuncMap{
		"ms":       func(d any) string { return fmt.Sprintf("%.0f ms", milliseconds(d)) },
		"fine":     func(d any) string { return fmt.Sprintf("%.2f ms", milliseconds(d)) },
		"us":       func(ns int64) string { return fmt.Sprintf("%d µs", (ns+500)/1000) },
		"percent":  func(share float64) float64 { return 100 * share },
		"share":    func(part, whole int64) string { return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole)) },
		"mib":      func(n int64) string { return fmt.Sprintf("%d MiB", n>>20) },
		"thousand": func(each int64) int64 { return (1000*each + 1<<30 - 1) >> 30 },
		"mb":       func(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) },
		// The last rows of room have a resolution; see conformance/bench.
		"in24": func(each int64) int64 { return (24 << 30) / max(each, 100<<10) },
		"in16": func(each int64) int64 { return (16 << 30) / max(each, 1) },
	}
	t, err := template.New("page").Funcs(functions).Option("missingkey=error").Parse(pageText)
	if err != nil {
		return nil, err
	}
	var page bytes.Buffer
	if err := t.Execute(&page, r); err != nil {
		return nil, err
	}
	return map[string]string{pageName: page.String(), startsName: startsChart(r).svg(), imagesName: imagesChart(r).svg()}, nil
}

func milliseconds(d any) float64 {
	switch d := d.(type) {
	case time.Duration:
		return float64(d) / milliSecond
	case int64:
		return float64(d) / milliSecond
	}
	return 0
}

func startsChart(r *figures.Report) chart {
	c := chart{title: "First byte of an SDK agent whose imports take 2 s: P50, pale to P75", unit: "ms"}
	for _, s := range r.Starts {
		c.groups = append(c.groups, group{s.Way, []bar{{milliseconds(s.At(.5)), milliseconds(s.At(.75))}}})
	}
	return c
}

func imagesChart(r *figures.Report) chart {
	c := chart{title: "Checkpoint and restore by what the guest holds", unit: "ms", legend: []string{"checkpoint", "restore until the first answer"}}
	for _, i := range r.Images {
		c.groups = append(c.groups, group{fmt.Sprintf("%d MiB", i.Heap>>20), []bar{{milliseconds(i.Save), 0}, {milliseconds(i.Answer), 0}}})
	}
	return c
}
