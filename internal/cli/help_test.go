package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
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
			if command := "outcrop " + c.Name(); ownCommand.FindString(command) != command {
				t.Error("texts that name this command do not say how it is typed: see ownCommand")
			}
			if c.Example == "" || c.Short == "" {
				t.Error("a command without example or summary")
			}
		})
	}
}

// TestManualIsComplete holds docs/cli.md to the commands, their flags and the
// variables that we read.
func TestManualIsComplete(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	manual := string(text)
	root := newRoot(newUser(t).program())
	want := []string{"`AWS_ENDPOINT_URL`", "`AWS_REGION`", "`XDG_DATA_HOME`", "`XDG_STATE_HOME`", "`XDG_CACHE_HOME`", "`" + envMarker + "`", "`" + envSaved + "*`"}
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { want = append(want, "`--"+f.Name) })
	for _, c := range root.Commands() {
		if c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		row := ""
		for line := range strings.Lines(manual) {
			if row == "" && strings.HasPrefix(line, "| `"+c.Name()) {
				row = line
			}
		}
		if row == "" {
			t.Errorf("%s has no row", c.Name())
		}
		c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" && !strings.Contains(row, "--"+f.Name) {
				t.Errorf("the row of %s lacks --%s", c.Name(), f.Name)
			}
		})
		for _, alias := range c.Aliases {
			if alias != c.Name() {
				want = append(want, "`"+alias+"`")
			}
		}
	}
	for _, part := range want {
		if !strings.Contains(manual, part) {
			t.Errorf("%s is missing", part)
		}
	}
}

func TestMisuse(t *testing.T) {
	for _, line := range []string{
		"bogus", "invke", "serv", "ev", "eploy", "network profle", "endpoint craete", "ls --region mars", "ls --region=", "serve --region US-EAST-1", "invoke hello @", "ls a b", "ls --bad", "invoke", "invoke a b c", "stop hello", "stop hello -s short", "stop hello -s x", "logs hello -n 0",
		"logs hello --since -5m", "logs hello --since soon", "deploy", "deploy . --image a:1", "deploy --image a:1 --entry main.py", "deploy --image registry/1:1", "serve --private-registry https://a", "serve --max-image 2TiB", "deploy . --name 1x", "deploy . --network office", "deploy . --network vpc", "deploy . --network vpc:1x", "deploy . --subnets subnet-0123456789abcdef0",
		"deploy . --network public --subnets subnet-0123456789abcdef0 --security-groups sg-0123456789abcdef0",
		"deploy . --subnets vpc-1 --security-groups sg-0123456789abcdef0", "deploy . --subnets subnet-0123456789abcdef0 --security-groups mine",
		"deploy . --storage /data", "deploy . --snapshot maybe", "deploy . --protocol soap", "deploy . --idle-timeout 10s", "deploy . --idle-timeout 0", "deploy . --max-lifetime 99d", "deploy . --max-lifetime 90.5s", "deploy . --idle-timeout 2h --max-lifetime 1h30m", "deploy . --timeout 0", "deploy . --timeout -1m", "deploy . --allowed-ports http", "deploy . --allowed-ports 80", "deploy . --allowed-ports 8400-8500", "deploy . --allowed-ports 8443", "deploy . --allowed-ports 8200-8100", "deploy . --allowed-ports 8100,8100-8110", "deploy . --allowed-ports 8001,8002,8003,8004,8005,8006", "deploy . --snapshot off --env OUTCROP_SNAPSHOT=safe", "deploy . --env =x", "deploy . --role arn:aws:iam::111122223333:user/foo", "deploy . --allowed-ports=", "deploy . --subnets=", "deploy . --runtime=", "deploy . --role=", "deploy . --network=", "deploy . --env NOPE",
		"env --shell tcsh", "invoke hello {bad", "invoke hello --raw --json", "invoke hello -s short", "invoke a/b", "invoke hello @nowhere", "invoke --ws hello hi", "invoke --ws hello --json", "invoke hello --binary", "invoke hello --ws --linger -1s",
		"exec", "exec hello", "exec -- ls", "exec hello ls", "exec hello --", "exec hello -s short -- ls", "exec hello --timeout 2h -- ls", "exec hello --shell a/b",
		"exec hello --shell a -- ls", "exec hello --timeout 1m", "exec a/b -- ls",
		"service", "service bogus", "service install --user --system", "service show x", "service show -- x", "service show -- --bogus", "service show -- --grace soon",
		"service install -- --endpoint http://127.0.0.1:1", "service uninstall x", "ports", "ports hello", "ports hello x", "ports hello 0", "ports hello 80:", "ports hello x:80", "ports hello 70000", "ports hello 8100 -s short", "ports a/b 8100",
		"backup", "backup -", "backup a b", "backup a --endpoint http://127.0.0.1:1", "backup a --recipient x --passphrase-file y", "restore", "restore nowhere", "restore -",
		"restore - --identity x --passphrase-file y", "restore - --identity /nowhere",
		"network bogus", "network profile", "network profile set", "network profile set a", "network profile set a --rule 10.1.0.0/8",
		"network profile set a --rule 10.1.0.0/16:0", "network profile set a --rule fd00::/8", "network profile set a --rule 10.1.0.0/16 --dns ns.example.com",
		"network map subnet-0123456789abcdef0", "network map office subnet-0123456789abcdef0", "network unmap", "network allow 192.0.0.0/24", "network disallow x",
		"pool", "pool bogus", "pool create", "pool add-user people", "pool add-user people ada", "pool add-client people", "pool add-client people x --machine", "pool add-client people x --machine --scope a/b --redirect https://a.example", "pool add-client people x --scope openid", "pool delete", "pool delete people",
		"user", "user create", "user create a b", "user create ann --policy /nowhere.json", "user delete ann", "user key", "role", "role create", "role create x --trust /nowhere.json", "role delete x",
		"network host add", "network host add https://example.com", "network map 10.1.0.0/16 office", "network unmap subnet", "network profile set 1x --rule 10.1.0.0/16",
		"delete arn:aws:s3:::x", "prune", "prune agents --force", "prune --older-than 7", "ls --endpoint nonsense", "serve --interpreter /no/python", "serve --passthrough my-agent", "serve --access-point models=/", "serve --access-point arn:aws:elasticfilesystem:us-east-1:111122223333:access-point/fsap-01234567=/no/models", "serve --quota agents=1", "serve --max-sessions -3", "serve --grace -1s", "serve --keep-hibernated -5m", "serve --snapshot-life -1h", "serve --spares x", "serve --spares 99999999999999999999", "serve --session-cpus x", "serve --session-cpus 0", "serve --session-cpus 2000", "service show -- --session-cpus 0", "service show -- --spares x", "serve --data=", "ls --data=", "ls --endpoint=", "ls --endpoint ftp://a", "ls --json=maybe", "endpoint", "endpoint create hello", "endpoint create hello no-hyphens", "endpoint update hello prod", "endpoint update hello prod --version x", "delete hello --version 0", "serve --quota endpoints=0",
		"serve --aws-hosts=some", "serve --smithy-endpoint dynamodb", "serve --smithy-endpoint dynamodb=127.0.0.1:8000", "serve --api-gateway-endpoint localhost:4566",
		"serve --private-endpoint rcfg-0=a:1", "serve --private-endpoint rcfg-0123456789abcdef0=https://a", "serve --private-endpoint rcfg-0123456789abcdef0=a:0",
		"serve --api-gateway-stage-url http://a/{restApiId}/{stage}", "serve --api-gateway-endpoint http://a --api-gateway-stage-url http://a/{stage}",
		"serve --api-gateway-endpoint http://a --api-gateway-stage-url http://a/{restApiId}/{stage}/{path}",
		"serve --proxy-listen 127.0.0.1:0", "serve --tls-cert cert.pem", "serve --tls-name a.example", "serve --tls-listen 127.0.0.1:0 --tls-name a/b",
		"serve --listen 127.0.0.1:0 --tls-listen nowhere", "serve --sandbox /no/sandbox", "serve --sandbox /", "serve --sandbox /etc/passwd", "doctor --sandbox /no/sandbox", "serve --registry-config /no/config.json", "serve --registry-config /etc/passwd",
		"serve --private-registry x:y", "serve --insecure-registry registry.office:0", "serve --private-registry=", "serve --max-memory 1", "serve --spares 1 --spare-memory 1MiB", "serve --session-memory 1",
		"serve --max-image 10kb", "serve --listen foo", "serve --listen 127.0.0.1:99999", "serve --aws-hosts --proxy-listen 127.0.0.1", "service show -- --listen foo", "service install -- --tls-name x",
		"service show -- --session-memory 1", "service show -- --interpreter /no/python", "ca extra", "ca --pem --renew", "ca --endpoint http://127.0.0.1:1", "doctor --interpreter /no/python",
	} {
		t.Run(line, func(t *testing.T) {
			u := newUser(t)
			u.environ = append(u.environ, "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b")
			u.serve = func(context.Context, ServeOptions) error { return nil }
			u.backup = func(context.Context, BackupOptions) (BackupReport, error) { return BackupReport{}, nil }
			u.restore = func(context.Context, RestoreOptions) (RestoreReport, error) { return RestoreReport{}, nil }
			if strings.HasPrefix(line, "backup") {
				writeKey(t, u.data())
			}
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
