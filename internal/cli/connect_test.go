package cli

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/client"
)

func TestConnectFindsTheServer(t *testing.T) {
	key := []string{"AWS_ACCESS_KEY_ID=" + testKey, "AWS_SECRET_ACCESS_KEY=" + testSecret}
	tests := map[string]struct {
		environ func(f *fake) []string
		args    func(u *account, f *fake) []string
		known   bool
	}{
		"state file":              {known: true},
		"--data":                  {known: true, args: func(u *account, _ *fake) []string { return []string{"--data", u.data()} }},
		"--endpoint of a known":   {known: true, args: func(_ *account, f *fake) []string { return []string{"--endpoint", f.url + "/"} }},
		"variables of a remote":   {environ: func(f *fake) []string { return append(key, "AWS_ENDPOINT_URL="+f.url, "AWS_REGION=us-east-1") }},
		"--endpoint and key":      {environ: func(*fake) []string { return key }, args: func(_ *account, f *fake) []string { return []string{"--endpoint", f.url} }},
		"endpoint, key of a file": {known: true, environ: func(f *fake) []string { return []string{"AWS_ENDPOINT_URL=" + f.url} }},
		"AWS key of something else": {known: true, environ: func(*fake) []string {
			return []string{"AWS_ACCESS_KEY_ID=AKIAOTHER", "AWS_SECRET_ACCESS_KEY=x", "AWS_PROFILE=work"}
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			u, f := newUser(t), newFake(t)
			f.add("hello")
			args := []string{"ls"}
			if test.known {
				u.knows(f.url, u.data())
			}
			if test.environ != nil {
				u.environ = append(u.environ, test.environ(f)...)
			}
			if test.args != nil {
				args = append(args, test.args(u, f)...)
			}
			if r := u.run(args...); r.code != 0 || !strings.Contains(r.stdout, "hello") {
				t.Errorf("%s", r)
			}
		})
	}
}

func TestConnectRegion(t *testing.T) {
	u, f := newUser(t), newFake(t)
	u.knows(f.url, u.data())
	for want, args := range map[string][]string{"us-east-1": nil, "eu-west-1": {"--region", "eu-west-1"}} {
		u.environ = []string{"HOME=" + u.home, "AWS_REGION=ap-south-1"} // of other work, not of outcrop env
		if r := u.run(append([]string{"ls"}, args...)...); !strings.Contains(r.stderr, "region "+want) {
			t.Errorf("%v: %s", args, r)
		}
	}
}

// TestConnectRegionOfTheShell holds that a region which is none is refused where it
// would count, and only there.
func TestConnectRegionOfTheShell(t *testing.T) {
	u, f := newUser(t), newFake(t)
	u.environ = append(u.environ, "AWS_DEFAULT_REGION=mars", "AWS_ACCESS_KEY_ID="+testKey, "AWS_SECRET_ACCESS_KEY="+testSecret, "AWS_ENDPOINT_URL="+f.url)
	u.golden("connect/region", u.run("ls"))
	if r := u.run("ls", "--region", "us-east-1"); r.code != 0 {
		t.Errorf("%s", r)
	}
	u.knows(f.url, u.data())
	if r := u.run("ls", "--endpoint", f.url); r.code != 0 { // with the server's own key and region
		t.Errorf("%s", r)
	}
}

func TestConnectFails(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + free.Addr().String()
	_ = free.Close()
	page := httptest.NewServer(http.NotFoundHandler())
	defer page.Close()
	stale := func(u *account, dir string) {
		r := u.knows("http://127.0.0.1:8642", dir)
		r.ProcessStart = "another boot/1"
		if err := u.program().state().Add(r); err != nil {
			t.Fatal(err)
		}
	}
	key := []string{"AWS_ACCESS_KEY_ID=" + testKey, "AWS_SECRET_ACCESS_KEY=" + testSecret}
	tests := map[string]struct {
		prepare func(u *account)
		args    []string
	}{
		"stale":            {prepare: func(u *account) { stale(u, u.data()) }, args: []string{"ls"}},
		"stale-other-data": {prepare: func(u *account) { stale(u, filepath.Join(u.home, "my data")) }, args: []string{"ls"}},
		"stale-data":       {prepare: func(u *account) { stale(u, u.data()) }, args: []string{"ls", "--data", "HOME/.local/share/outcrop"}},
		"no-key": {prepare: func(u *account) {
			u.knows(nobody, u.data())
			_ = os.Remove(filepath.Join(u.data(), "credentials.json"))
		}, args: []string{"ls"}},
		"does-not-answer":  {prepare: func(u *account) { u.knows(nobody, u.data()) }, args: []string{"ls"}},
		"variable-down":    {prepare: func(u *account) { u.environ = append(append(u.environ, key...), "AWS_ENDPOINT_URL="+nobody) }, args: []string{"ls"}},
		"flag-down":        {prepare: func(u *account) { u.environ = append(u.environ, key...) }, args: []string{"ls", "--endpoint", nobody}},
		"flag-without-key": {args: []string{"ls", "--endpoint", nobody}},
		"other-server": {prepare: func(u *account) { u.environ = append(append(u.environ, key...), "AWS_ENDPOINT_URL="+page.URL) },
			args: []string{"deploy", "HOME"}},
		"broken-list": {prepare: func(u *account) {
			u.knows(nobody, u.data())
			_ = os.WriteFile(u.program().state().Path, []byte("{"), 0o600)
		}, args: []string{"ls"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			if test.prepare != nil {
				test.prepare(u)
			}
			before := files(t, u.home)
			for i, arg := range test.args {
				test.args[i] = strings.Replace(arg, "HOME", u.home, 1)
			}
			r := u.run(test.args...)
			u.golden("connect/"+name, r)
			if r.code != exitFailure {
				t.Errorf("exit code %d", r.code)
			}
			if after := files(t, u.home); after != before {
				t.Errorf("a client made files:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

// files lists a tree.
func files(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		all = append(all, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

func TestWrongKeySaysWhatToDo(t *testing.T) {
	u, f := newUser(t), newFake(t)
	u.environ = append(u.environ, "AWS_ACCESS_KEY_ID=AKIAOTHER", "AWS_SECRET_ACCESS_KEY=x", "AWS_ENDPOINT_URL="+f.url)
	u.golden("connect/wrong-key-sdk", u.run("ls"))
	u.golden("connect/wrong-key-own", u.run("sessions"))
}

// TestClockOff wants each call's first error to say that the clock is off and
// what to do, whoever's clock it is, whichever way, and whoever signed the call.
func TestClockOff(t *testing.T) {
	for name, off := range map[string]time.Duration{"behind": -7 * time.Minute, "ahead": 7 * time.Minute} {
		u, f := withServer(t)
		folder := agentFolder(t, u, "hello")
		check := func(whose string, args ...string) {
			t.Helper()
			r := u.run(args...)
			if r.code != exitFailure || !strings.Contains(r.stderr, "clocks of this machine and the server differ by more than 5 minutes") ||
				!strings.Contains(r.stderr, "outcrop doctor\n") || !strings.Contains(r.stderr, "sudo timedatectl set-ntp true") {
				t.Errorf("%s's clock %s, %v: %s", whose, name, args, r)
			}
		}
		// Our own API is signed by the program's clock, the SDK's by the system's.
		u.now = func() time.Time { return time.Now().Add(off) }
		for _, args := range [][]string{{"deploy", folder}, {"sessions"}, {"logs", "hello-0123456789"}} {
			check("this machine", args...)
		}
		u.now = nil
		f.now = func() time.Time { return time.Now().Add(off) }
		for _, args := range [][]string{{"deploy", folder}, {"sessions"}, {"ls"}, {"invoke", "hello"}} {
			check("the server", args...)
		}
	}
	for text, want := range map[string]bool{
		"Signature expired: 20261121T100000Z is now earlier than 20261121T100200Z (20261121T100700Z - 5 min.)": true,
		"Signature not yet current: 20261121T100000Z is still later than 20261121T095000Z":                     true,
		"The request signature we calculated does not match the signature you provided.":                       false,
	} {
		f := explainRefusal(&client.Error{Code: "InvalidSignatureException", Message: text})
		if strings.Contains(f.fix, "clocks") != want {
			t.Errorf("%s: %s", text, f.fix)
		}
	}
	if f := explainRefusal(&client.Error{Code: "RequestTimeTooSkewed", Message: "too large"}); !strings.Contains(f.fix, "clocks") {
		t.Errorf("S3's: %s", f.fix)
	}
}

// The host is not looked at here: what it allows differs.
func TestDoctor(t *testing.T) {
	u, f := newUser(t), newFake(t)
	u.diagnose = nil
	u.golden("doctor/nothing", u.run("doctor"))
	u.knows(f.url, u.data())
	u.golden("doctor/good", u.run("doctor"))
	var findings []Finding
	if r := u.run("doctor", "--json"); r.code != 0 || json.Unmarshal([]byte(r.stdout), &findings) != nil || len(findings) < 4 {
		t.Errorf("%s", r)
	}
	f.server = `{"version":"9","interpreters":[],"sandbox":{"available":false,"reason":"user namespaces are off","fix":"sudo sysctl -w user.max_user_namespaces=10000\nor run as root"}}`
	u.golden("doctor/bad", u.run("doctor"))
	u.diagnose = func(context.Context, ServeOptions) []Finding {
		return []Finding{
			{Name: "PYTHON_3_11", OK: true, Detail: "served by /usr/bin/python3.11 (version 3.11.2, source host)"},
			{Name: "NODE_22", OK: true, Detail: "not served: no Node.js 22 was found", Fix: "nvm install 22, or outcrop serve --interpreter DIRECTORY"},
		}
	}
	f.server = goodServer
	r := u.run("doctor")
	for _, line := range []string{
		"ok    PYTHON_3_11         served by /usr/bin/python3.11 (version 3.11.2, source host)\n",
		"-     NODE_22             not served: no Node.js 22 was found. To add it: nvm install 22, or outcrop serve --interpreter DIRECTORY\n",
	} {
		if !strings.Contains(r.stdout, line) || r.code != 0 {
			t.Errorf("%q is missing: %s", line, r)
		}
	}
	u.now = func() time.Time { return time.Now().Add(-7*time.Minute - 300*time.Millisecond) }
	r = u.run("doctor")
	if !strings.Contains(r.stdout, "clock") || !strings.Contains(r.stdout, "differs from the server's by ") || r.code != exitFailure {
		t.Errorf("%s", r)
	}
}
