package signin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/conformance/chromium"
	"github.com/outcrop/outcrop/conformance/pinned"
)

// free is an address of this machine that nobody has.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestInspector: MCP Inspector's command line calls with a token that it is given, and else
// signs in by itself, by a link that it prints, and calls again with what it stored.
func TestInspector(t *testing.T) {
	h := newHouse(t)
	node, packages := pinned.Node(t, "testdata/inspector")
	home, back := t.TempDir(), "http://"+free(t)+"/oauth/callback"
	inspect := func(visit func(link string), args ...string) []byte {
		t.Helper()
		args = append([]string{"node_modules/.bin/mcp-inspector", "--cli", h.gateway, "--transport", "http", "--format", "json", "--callback-url", back}, args...)
		cmd := exec.CommandContext(t.Context(), node, args...)
		cmd.Dir, cmd.Env = packages, append(os.Environ(), "HOME="+home, "MCP_INSPECTOR_SECRET_STORE=file", "MCP_AUTO_OPEN_ENABLED=true", "BROWSER=true")
		var out bytes.Buffer
		cmd.Stdout = &out
		told, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		link := regexp.MustCompile(regexp.QuoteMeta(h.base()) + `/\S+/oauth2/authorize\S+`)
		var said bytes.Buffer
		for lines := bufio.NewScanner(io.TeeReader(told, &said)); lines.Scan(); {
			if at := link.FindString(lines.Text()); at != "" && visit != nil {
				visit(at)
			}
		}
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v: %s\n%s", err, said.String(), out.String())
		}
		return out.Bytes()
	}
	works := func(t *testing.T, visit func(link string), args ...string) {
		t.Helper()
		var listed struct {
			Result struct{ Tools []struct{ Name string } }
		}
		if out := inspect(visit, append([]string{"--method", "tools/list"}, args...)...); json.Unmarshal(out, &listed) != nil || len(listed.Result.Tools) != 1 || listed.Result.Tools[0].Name != tool {
			t.Errorf("it lists %s", out)
		}
		var called struct {
			Result struct{ Content []struct{ Text string } }
		}
		out := inspect(nil, append([]string{"--stored-auth-only", "--method", "tools/call", "--tool-name", tool, "--tool-arg", "word=granite"}, args...)...)
		if json.Unmarshal(out, &called) != nil || len(called.Result.Content) != 1 || called.Result.Content[0].Text != found {
			t.Errorf("it calls %s", out)
		}
	}
	t.Run("with a token", func(t *testing.T) { works(t, nil, "--header", "Authorization: Bearer "+h.token("ada")) })
	t.Run("by itself", func(t *testing.T) {
		works(t, func(link string) { h.ask(http.MethodGet, back+"?"+h.pages(link, "ada").Encode(), nil, nil, nil) })
	})
}

// TestInspectorPage: a person presses one button in MCP Inspector's page and signs in, and it
// is connected and has listed the tools.
func TestInspectorPage(t *testing.T) {
	if os.Getenv("OUTCROP_NIGHTLY") == "" {
		t.Skip("the command line signs in alike: nightly (OUTCROP_NIGHTLY=1)")
	}
	h, chrome := newHouse(t), chromium.Start(t)
	node, packages := pinned.Node(t, "testdata/inspector")
	page, sandbox := free(t), free(t)
	_, port, _ := net.SplitHostPort(page)
	_, other, _ := net.SplitHostPort(sandbox)
	cmd := exec.CommandContext(t.Context(), node, "node_modules/.bin/mcp-inspector", "--web", "--server-url", h.gateway, "--transport", "http")
	cmd.Dir, cmd.Env = packages, append(os.Environ(), "HOME="+t.TempDir(), "CLIENT_PORT="+port, "MCP_SANDBOX_PORT="+other, "MCP_INSPECTOR_API_TOKEN=a-token",
		"MCP_INSPECTOR_SECRET_STORE=file", "MCP_AUTO_OPEN_ENABLED=false")
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // it has nothing to end in order
	lines := bufio.NewScanner(said)
	for lines.Scan() && !strings.Contains(lines.Text(), "up and running") {
		continue
	}
	go func() { _, _ = io.Copy(io.Discard, said) }()
	visit := signIn("http://"+page+"/?MCP_INSPECTOR_API_TOKEN=a-token", "ada")
	visit.Steps = append([]chromium.Step{{Click: "[role=switch]"}}, visit.Steps...)
	visit.Steps = append(visit.Steps, chromium.Step{Until: "::-p-text(tools/list)"}, chromium.Step{Until: "::-p-text(Authentication succeeded)"})
	pages := chrome.Walk(visit)
	if last := pages[len(pages)-1].Text; !strings.Contains(last, "Connected") || !strings.Contains(last, "TOOLS/LIST") || !strings.Contains(last, "OK") {
		t.Errorf("the page shows %s", last)
	}
}
