package network

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/conformance/server"
)

// insideVariable tells a test that it runs in a network namespace of its own.
const insideVariable = "OUTCROP_TEST_NETWORK"

// inside runs the calling test again, on a machine with a private network, and
// reports whether this is that run. It takes no right that an ordinary user lacks.
func inside(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideVariable) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
		cmd.Env = append(os.Environ(), insideVariable+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
		if os.Geteuid() != 0 {
			cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return false
	}
	if err := playPrivate(); err != nil {
		t.Fatal(err)
	}
	return true
}

// What agents try to reach.
const (
	database  = "http://" + databaseAddress + "/"
	byName    = "http://" + databaseName + "/"
	otherPort = "http://" + databaseAddress + ":81/"
	other     = "http://" + otherAddress + "/"
	subnet    = "subnet-0123456789abcdef0"
)

// TestVPC: an agent whose subnets nobody has mapped reaches nothing but Outcrop and
// its log has the command that maps them; after that command a new session reaches
// what the profile opens and nothing else. Nothing that starts from a snapshot has
// seen other surroundings.
func TestVPC(t *testing.T) {
	if !inside(t) {
		return
	}
	f := start(t)
	arn := f.create("private", &types.NetworkConfiguration{NetworkMode: types.NetworkModeVpc, NetworkModeConfig: &types.VpcConfig{
		Subnets: []string{subnet}, SecurityGroups: []string{"sg-0123456789abcdef0"},
	}})
	nothing, some := reached{}, reached{database: databaseAddress + ":80", byName: databaseAddress + ":80"}

	first := f.fresh(arn)
	f.expect(arn, first, nothing, "")
	command := f.logged("private", `run: (outcrop network map `+subnet+` PROFILE)\n`)
	f.expect(arn, f.restored(arn, "private"), nothing, "") // a snapshot that has seen nothing

	f.cli("network", "profile", "set", "office", "--rule", databaseAddress+":80", "--dns", namesAddress)
	f.cli(strings.Fields(strings.Replace(strings.TrimPrefix(command, "outcrop "), "PROFILE", "office", 1))...)
	f.expect(arn, first, nothing, "") // it keeps what it has
	second := f.fresh(arn)
	f.expect(arn, second, some, some[database])
	f.logged("private", `tcp `+otherAddress+`:80 refused: (the network profile office does not open it)`)
	f.expect(arn, f.restored(arn, "private"), some, some[database])

	f.Kill()
	f.Restart()
	f.expect(arn, f.fresh(arn), some, some[database])
	third := f.fresh(arn)
	f.expect(arn, third, some, some[database])
	f.cli("network", "unmap", subnet)
	f.expect(arn, third, some, some[database])
	f.expect(arn, f.fresh(arn), nothing, "")
}

// TestPublic: network mode PUBLIC reaches private networks that were allowed, and
// with allowed hosts nothing else.
func TestPublic(t *testing.T) {
	if !inside(t) {
		return
	}
	f := start(t)
	arn := f.create("public", &types.NetworkConfiguration{NetworkMode: types.NetworkModePublic})
	f.expect(arn, f.fresh(arn), reached{}, "")
	f.cli("network", "allow", databaseAddress)
	at := databaseAddress + ":80"
	allowed := f.fresh(arn)
	f.expect(arn, allowed, reached{database: at, otherPort: databaseAddress + ":81"}, at)
	f.cli("network", "host", "add", "other.test")
	f.expect(arn, f.fresh(arn), reached{}, "")
	f.expect(arn, allowed, reached{database: at, otherPort: databaseAddress + ":81"}, at)
	f.cli("network", "host", "remove", "other.test")
	f.cli("network", "disallow", databaseAddress)
	f.expect(arn, f.fresh(arn), reached{}, "")
}

// TestWake: a session that hibernated comes back with what it remembers, and reaches
// what is open by then.
func TestWake(t *testing.T) {
	if !inside(t) {
		return
	}
	f := start(t, "--hibernate-after", "1s")
	arn := f.create("sleepy", &types.NetworkConfiguration{NetworkMode: types.NetworkModePublic})
	session := f.fresh(arn)
	f.expect(arn, session, reached{}, "")
	asleep := func() bool { return strings.Contains(f.cli("sessions", "sleepy", "--json"), `"HIBERNATED"`) }
	f.Until("it hibernates", asleep)
	f.cli("network", "allow", databaseAddress)
	f.expect(arn, session, reached{database: databaseAddress + ":80", otherPort: databaseAddress + ":81"}, "")
	f.Until("it hibernates", asleep)
	f.cli("network", "disallow", databaseAddress)
	f.expect(arn, session, reached{}, "")
}

// reached is what answered, by URL.
type reached map[string]string

type fixture struct {
	*testing.T
	*server.Server
	sessions int
}

// start runs a server with the agent of testdata in its storage.
func start(t *testing.T, args ...string) *fixture {
	t.Helper()
	f := &fixture{T: t, Server: server.Start(t, server.Options{Args: args})}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("server:\n%s", f.Server.Log())
		}
	})
	source, err := os.ReadFile(filepath.Join("testdata", "agent", "main.py"))
	f.must(err)
	packed, err := agent.Pack(map[string][]byte{"main.py": source})
	f.must(err)
	f.must(f.Agents().Store(t.Context(), "agents", agent.Key, packed))
	return f
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// create makes a runtime and waits until it is READY.
func (f *fixture) create(name string, network *types.NetworkConfiguration) (arn string) {
	f.Helper()
	to := f.Agents()
	in := to.Input("agents", name, f.Python())
	in.NetworkConfiguration, in.EnvironmentVariables = network, map[string]string{"FETCH_AT_START": database}
	got, err := to.Create(f.Context(), in)
	f.must(err)
	return *got.AgentRuntimeArn
}

// answer is what the agent says.
type answer struct {
	AtStart, Outcrop string
	Found            reached
}

func (f *fixture) ask(arn, session string, urls ...string) (out answer) {
	f.Helper()
	payload, err := json.Marshal(append([]string{}, urls...))
	f.must(err)
	got, err := data.NewFromConfig(f.AWS()).InvokeAgentRuntime(f.Context(), &data.InvokeAgentRuntimeInput{
		AgentRuntimeArn: &arn, RuntimeSessionId: &session, Payload: payload,
	})
	f.must(err)
	defer got.Response.Close()
	f.must(json.NewDecoder(got.Response).Decode(&out))
	return out
}

// fresh starts a session and returns its id.
func (f *fixture) fresh(arn string) string {
	f.Helper()
	f.sessions++
	id := server.SessionID("session-", f.sessions)
	f.ask(arn, id)
	return id
}

// restored starts sessions until one was restored from a snapshot.
func (f *fixture) restored(arn, name string) (id string) {
	f.Helper()
	f.Until("sessions are restored", func() bool {
		id = f.fresh(arn)
		var list []struct{ SessionID, Origin string }
		f.must(json.Unmarshal([]byte(f.cli("sessions", name, "--json")), &list))
		for _, s := range list {
			if s.SessionID == id && s.Origin == "RESTORED" {
				return true
			}
		}
		f.cli("stop", name, "-s", id)
		return false
	})
	return id
}

// expect compares what a session reaches, and reached when it started, with what it
// is to.
func (f *fixture) expect(arn, session string, want reached, atStart string) {
	f.Helper()
	got := f.ask(arn, session, database, byName, otherPort, other)
	if !strings.Contains(got.Outcrop, "ok") {
		f.Errorf("Outcrop answers %q", got.Outcrop)
	}
	if got.AtStart != atStart {
		f.Errorf("when it started it found %q, want %q", got.AtStart, atStart)
	}
	for url, text := range got.Found {
		if text != want[url] {
			f.Errorf("at %s it finds %q, want %q", url, text, want[url])
		}
	}
}

// logged waits for a line of an agent's log, and returns what pattern's group
// matched. Lines are written in batches.
func (f *fixture) logged(name, pattern string) (group string) {
	f.Helper()
	line := regexp.MustCompile(pattern)
	f.Until("the log has "+pattern, func() bool {
		found := line.FindStringSubmatch(f.cli("logs", name, "-n", "1000"))
		if found != nil {
			group = found[1]
		}
		return found != nil
	})
	return group
}

func (f *fixture) cli(args ...string) string {
	f.Helper()
	out, _, err := f.CLI(f.Context(), args...)
	f.must(err)
	return out
}
