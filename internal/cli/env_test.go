package cli

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestEnvRoundTrip evaluates what env prints in real shells, looks at what a
// client would see, evaluates --unset, and wants everything as it was.
func TestEnvRoundTrip(t *testing.T) {
	for _, name := range []string{"sh", "bash", "dash", "zsh", "ksh"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Logf("%s is not installed", name)
			continue
		}
		for scenario, before := range map[string][]string{
			"clean": {},
			"AWS user": {
				"AWS_PROFILE=work", "AWS_DEFAULT_PROFILE=", "AWS_SESSION_TOKEN=tok'en $(echo x)\n`y`\\", "AWS_REGION=eu-north-1", "AWS_ACCESS_KEY_ID=AKIAOTHER",
				"AWS_SECRET_ACCESS_KEY=s p\"a'ce\n", "AWS_ENDPOINT_URL=http://localhost:4566", "AWS_ENDPOINT_URL_S3=http://s3", "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE=http://x",
				"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true", "AWS_USE_FIPS_ENDPOINT=true", "BEDROCK_AGENTCORE_DP_ENDPOINT=http://dp", "UNRELATED=kept",
			},
			"behind a proxy": {"http_proxy=http://proxy:3128", "no_proxy=.corp"},
		} {
			t.Run(name+"/"+scenario, func(t *testing.T) {
				u := newUser(t)
				u.knows("http://127.0.0.1:8642", u.data())
				// The command under test is this test, run again as outcrop.
				base := []string{"HOME=" + u.home, "PATH=" + os.Getenv("PATH"), "OUTCROP_TEST_AS_MAIN=1", "OUTCROP=" + os.Args[0], "GOCOVERDIR=" + u.home, "GORACE=atexit_sleep_ms=0"}
				script := `env -0 > before
eval "$("$OUTCROP" env)" || exit 1
env -0 > during
eval "$("$OUTCROP" env)" || exit 1
env -0 > again
eval "$("$OUTCROP" env --unset)" || exit 1
env -0 > after
eval "$("$OUTCROP" env --unset 2>/dev/null)" && env -0 > twice`
				cmd := exec.Command(path, "-c", script)
				cmd.Dir = u.home
				cmd.Env = append(base, before...)
				if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
					t.Fatalf("%v, printed %q", err, out)
				}
				was, during := readEnv(t, u, "before"), readEnv(t, u, "during")
				checkDuring(t, during)
				for _, file := range []string{"after", "twice"} {
					if is := readEnv(t, u, file); !maps.Equal(was, is) {
						t.Errorf("%s: %v\nwant %v", file, is, was)
					}
				}
				if again := readEnv(t, u, "again"); !maps.Equal(during, again) {
					t.Errorf("a second time: %v\nwant %v", again, during)
				}
				if was["no_proxy"] != "" && during["no_proxy"] != ".corp,127.0.0.1" {
					t.Errorf("no_proxy is %q", during["no_proxy"])
				}
			})
		}
	}
}

func readEnv(t *testing.T, u *account, file string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(u.home, file))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for entry := range strings.SplitSeq(string(b), "\x00") {
		if name, value, ok := strings.Cut(entry, "="); ok && name != "_" {
			env[name] = value
		}
	}
	return env
}

func checkDuring(t *testing.T, env map[string]string) {
	t.Helper()
	for name, want := range map[string]string{
		"AWS_ENDPOINT_URL": "http://127.0.0.1:8642", "AWS_ACCESS_KEY_ID": testKey, "AWS_SECRET_ACCESS_KEY": testSecret,
		"AWS_REGION": testRegion, "AWS_DEFAULT_REGION": testRegion, "AWS_EC2_METADATA_DISABLED": "true",
		"BEDROCK_AGENTCORE_DP_ENDPOINT": "http://127.0.0.1:8642", "BEDROCK_AGENTCORE_CP_ENDPOINT": "http://127.0.0.1:8642",
	} {
		if env[name] != want {
			t.Errorf("%s is %q, want %q", name, env[name], want)
		}
	}
	for name := range env {
		switch {
		case slices.Contains([]string{
			"AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_USE_FIPS_ENDPOINT",
		}, name), strings.HasPrefix(name, "AWS_ENDPOINT_URL_"):
			t.Errorf("%s is set", name)
		}
	}
}

func TestEnvText(t *testing.T) {
	for _, shell := range []string{"sh", "fish", "powershell"} {
		u := newUser(t)
		u.knows("http://127.0.0.1:8642", u.data())
		u.environ = append(u.environ, "AWS_PROFILE=secret-name", "AWS_ENDPOINT_URL_S3=http://x", "AWS_ENDPOINT_URL_$(boom)=x", "AWS_REGION=eu-west-1")
		r := u.run("env", "--shell", shell)
		u.golden("env/set-"+shell, r)
		if strings.Contains(r.stdout, "secret-name") || strings.Contains(r.stdout, "boom") || r.stderr != "" {
			t.Errorf("prints what it must not: %s", r)
		}
		u.environ = append(u.environ, "OUTCROP_ENV=AWS_ENDPOINT_URL AWS_REGION", "OUTCROP_SAVED_AWS_REGION=eu-west-1", "OUTCROP_SAVED_AWS_PROFILE=p", "OUTCROP_SAVED_$(boom)=x")
		u.golden("env/unset-"+shell, u.run("env", "--unset", "--shell", shell))
	}
	u := newUser(t)
	u.golden("env/unset-nothing", u.run("env", "--unset"))
	u.golden("env/no-server", u.run("env"))
	u.knows("http://127.0.0.1:8642", u.data())
	u.terminal = true
	if r := u.run("env"); !strings.Contains(r.stderr, "eval") {
		t.Errorf("no word of how to run it: %s", r)
	}
}

func TestQuotingSurvivesTheShell(t *testing.T) {
	for _, s := range []string{"", "plain", "with space", "it's", `back\slash`, "$HOME `x` $(y)", "new\nline", "\u2019", "-n", "*", "~"} {
		out, err := exec.Command("sh", "-c", "printf %s "+quotePOSIX(s)).Output()
		if err != nil || string(out) != s {
			t.Errorf("quotePOSIX(%q) is %q to sh (%v)", s, out, err)
		}
	}
	for in, want := range map[string]string{"a'b": "'a''b'", "a\u2019b": "'a\u2019\u2019b'", "$x": "'$x'"} {
		if got := quotePowerShell(in); got != want {
			t.Errorf("quotePowerShell(%q) = %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]string{`a'b\c`: `'a\'b\\c'`, "$x": "'$x'"} {
		if got := quoteFish(in); got != want {
			t.Errorf("quoteFish(%q) = %s, want %s", in, got, want)
		}
	}
}
