package toolsearch_test

import (
	"bufio"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/internal/gateway/search"
	"github.com/outcrop/outcrop/internal/llm"
)

// TestModel measures search with a small model beside it: all-MiniLM-L6-v2, which knows
// English and hardly any Japanese. Neither language may lose by it.
func TestModel(t *testing.T) {
	tools, _ := load(t, "queries.txt")
	models, err := llm.New(llm.Config{
		Providers:  map[string]llm.Provider{"minilm": {Type: llm.OpenAI, URL: serve(t) + "/v1"}},
		Models:     []llm.Mapping{{Pattern: "*", Provider: "minilm"}},
		Embeddings: &llm.Embeddings{Model: "all-minilm-l6-v2"},
	}, llm.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(models.Close)
	embedder, ok := models.Embedder()
	if !ok {
		t.Fatal("no embedder")
	}
	vectors := search.NewVectors(search.Config{Embedder: embedder, Budget: time.Minute, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: time.Now})
	stopped := make(chan error)
	go func() { stopped <- vectors.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
	f := vectors.Finder("benchmark", tools)
	begun := time.Now()
	select {
	case <-f.Embedded():
	case <-time.After(3 * time.Minute):
		t.Fatal("the tools have no vectors after three minutes")
	}
	t.Logf("%d tools embedded in %v", len(tools), time.Since(begun).Round(time.Millisecond))
	for _, file := range []string{"queries.txt", "later.txt"} {
		_, questions := load(t, file)
		words := measure(questions, func(query string) []int { return f.Search(query, search.Most, nil) }, nil)
		both := measure(questions, func(query string) []int { return f.Find(t.Context(), query, search.Most, nil) }, missed(t, tools))
		show(t, file, "words", words)
		show(t, file, "words and all-MiniLM-L6-v2", both)
		floor(t, "all", both.All.Recall, words.All.Recall+0.1)
		floor(t, "English", both.English.Recall, words.English.Recall+0.15)
		floor(t, "Japanese", both.Japanese.Recall, words.Japanese.Recall)
	}
}

// serve starts the model's server and returns its URL.
func serve(t *testing.T) string {
	t.Helper()
	dir := pinned.Packages(t, "testdata/requirements.txt")
	server := exec.CommandContext(t.Context(), pinned.Program(t, "python"), "testdata/minilm.py", dir)
	// A second thread would spin where the machine is busy, and win little.
	server.Env = append(os.Environ(), "PYTHONPATH="+dir, "OPENBLAS_NUM_THREADS=1")
	var said strings.Builder
	server.Stderr = &said
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Wait() }) // killed when the test's context ended
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = server.Wait()
		t.Fatalf("the model's server does not start: %v: %s", err, said.String())
	}
	return "http://127.0.0.1:" + strings.TrimSpace(port)
}
