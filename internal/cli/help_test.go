package cli

import (
	"strings"
	"testing"
)

func TestHelp(t *testing.T) {
	u := newUser(t)
	u.golden("help/outcrop", u.run("--help"))
	for _, c := range newRoot(u.program()).Commands() {
		if c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		t.Run(c.Name(), func(t *testing.T) {
			u := newUser(t)
			u.golden("help/"+c.Name(), u.run(c.Name(), "--help"))
			if c.Example == "" || c.Short == "" {
				t.Error("a command without example or summary")
			}
		})
	}
}

func TestMisuse(t *testing.T) {
	for _, line := range []string{
		"bogus", "invke", "ls extra", "ls --bad", "invoke", "invoke a b c", "stop hello", "stop hello -s short", "logs hello -n 0",
		"logs hello --since -5m", "logs hello --since soon", "deploy", "deploy . --name 1x", "deploy . --env =x", "deploy . --env NOPE",
		"env --shell tcsh", "invoke hello {bad", "invoke hello --raw --json", "invoke hello -s short", "invoke a/b", "invoke hello @nowhere",
		"delete arn:aws:s3:::x", "ls --endpoint nonsense",
	} {
		t.Run(line, func(t *testing.T) {
			u := newUser(t)
			u.environ = append(u.environ, "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b")
			r := u.run(strings.Fields(line)...)
			if r.code != exitUsage || r.stdout != "" || !strings.HasPrefix(r.stderr, "outcrop: ") {
				t.Errorf("%s", r)
			}
			name := strings.NewReplacer(" ", "_", "/", "", ":", "", "{", "", "@", "").Replace(line)
			u.golden("misuse/"+name, r)
		})
	}
}

func TestVersion(t *testing.T) {
	u := newUser(t)
	if r := u.run("version"); r.code != 0 || !strings.HasPrefix(r.stdout, "outcrop 1.2.3 (") {
		t.Errorf("%s", r)
	}
	if r := u.run("--version"); r.stdout != "outcrop 1.2.3\n" {
		t.Errorf("%s", r)
	}
	if r := u.run("version", "--json"); !strings.Contains(r.stdout, `"version": "1.2.3"`) {
		t.Errorf("%s", r)
	}
}

func TestCommandsAreShownAsTheyAreTyped(t *testing.T) {
	u := newUser(t)
	for text, want := range map[string]string{
		"Start one: outcrop serve":                      "Start one: /opt/oc serve",
		`eval "$(outcrop env --unset)"; outcrop ls`:     `eval "$(/opt/oc env --unset)"; /opt/oc ls`,
		"limactl shell outcrop outcrop serve   (where)": "limactl shell outcrop outcrop serve   (where)",
		"wsl outcrop env":                               "wsl outcrop env",
		"See: outcrop logs --help, outcrop --help":      "See: /opt/oc logs --help, /opt/oc --help",
		"outcrop: it failed; the outcrop server":        "outcrop: it failed; the outcrop server",
		"/home/outcrop/x s3://outcrop-deploy-1":         "/home/outcrop/x s3://outcrop-deploy-1",
	} {
		p := u.program()
		p.Name = "/opt/oc"
		var out strings.Builder
		p.Stderr = &out
		p.say("%s", text)
		if got := strings.TrimSuffix(out.String(), "\n"); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}
