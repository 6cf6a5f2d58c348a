package cli

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// someNetworks has a profile with subnets, and one without.
const someNetworks = `{"profiles":[
	{"profileName":"office","rules":["10.1.0.0/16"],"subnetIds":["subnet-0123456789abcdef0","subnet-0123456789abcdef1"]},
	{"profileName":"lab","rules":["10.2.0.0/16"],"subnetIds":[]}]}`

// TestDeploySurroundings goes from the plain to network, storage and snapshot and
// back; what is said again, or not said, makes no new version.
func TestDeploySurroundings(t *testing.T) {
	u, f := withServer(t)
	f.network = someNetworks
	dir := agentFolder(t, u, "hello")
	const id = "hello-0123456789"
	plain := map[string]bool{"not-said": true, "subnets-again": true, "environment": true, "cleared": true, "plain-again": true, "plain-still": true, "protocol-again": true, "protocol-plain": true, "life": true, "life-again": true, "life-more": true,
		"ports-again": true, "ports-not-said": true, "ports-none-again": true}
	for _, step := range []struct {
		name, args string
		changes    bool
		want       string // of the runtime, the three members as JSON
	}{
		{"creates-in-profile", "--network vpc:office --storage /mnt/work/ --snapshot off", true,
			`{"networkMode":"VPC","networkModeConfig":{"securityGroups":["sg-5cc3f82838ba72602"],"subnets":["subnet-0123456789abcdef0"]}} [{"sessionStorage":{"mountPath":"/mnt/work"}}] {"OUTCROP_SNAPSHOT":"off"}`},
		{"said-again", "--network vpc:office --storage /mnt/work --snapshot off", false, ""},
		{"not-said", "", false, ""},
		{"subnets", "--subnets subnet-0123456789abcdef1,subnet-0123456789abcdef9 --security-groups sg-0123456789abcdef0", true,
			`{"networkMode":"VPC","networkModeConfig":{"securityGroups":["sg-0123456789abcdef0"],"subnets":["subnet-0123456789abcdef1","subnet-0123456789abcdef9"]}} [{"sessionStorage":{"mountPath":"/mnt/work"}}] {"OUTCROP_SNAPSHOT":"off"}`},
		{"subnets-again", "--network vpc --subnets subnet-0123456789abcdef1,subnet-0123456789abcdef9 --security-groups sg-0123456789abcdef0", false, ""},
		{"environment", "--env A=1", true, ""},
		{"cleared", "--clear-env --snapshot safe", true, ""},
		{"plain-again", "--network public --storage none --snapshot on", true, `{"networkMode":"PUBLIC"} null null`},
		{"plain-still", "--network public --storage none --snapshot on", false, ""},
		{"protocol", "--protocol mcp", true, ""},
		{"protocol-again", "--protocol MCP", false, ""},
		{"protocol-plain", "--protocol http", true, ""},
		{"life", "--idle-timeout 60s --max-lifetime 1h", true, ""},
		{"life-again", "--idle-timeout 1m", false, ""},
		{"ports", "--allowed-ports 8100,8200-8210", true, ""},
		{"ports-again", "--allowed-ports 8100,8200-8210", false, ""},
		{"ports-not-said", "", false, ""},
		{"ports-none", "--allowed-ports none", true, ""},
		{"ports-none-again", "--allowed-ports none", false, ""},
		{"life-idle", "--idle-timeout 2h", false, ""},
		{"life-more", "--idle-timeout 10m", true, ""},
		{"life-lifetime", "--max-lifetime 5m", false, ""},
		{"unknown-profile", "--network vpc:offices", false, ""},
		{"unmapped-profile", "--network vpc:lab", false, ""},
	} {
		before := f.version(id)
		r := u.run(append([]string{"deploy", dir}, strings.Fields(step.args)...)...)
		if !plain[step.name] {
			u.golden("deploy/"+step.name, r)
		}
		if changed := f.version(id) != before; changed != step.changes {
			t.Errorf("%s: changed is %v", step.name, changed)
		}
		var got []string
		for _, member := range []string{"networkConfiguration", "filesystemConfigurations", "environmentVariables"} {
			b, _ := json.Marshal(f.runtimes[id][member])
			got = append(got, string(b))
		}
		if text := strings.Join(got, " "); step.want != "" && text != step.want {
			t.Errorf("%s: %s", step.name, text)
		}
		switch step.name {
		case "life":
			if b, _ := json.Marshal(f.runtimes[id]["lifecycleConfiguration"]); string(b) != `{"idleRuntimeSessionTimeout":60,"maxLifetime":3600}` {
				t.Errorf("%s: %s", step.name, b)
			}
		case "creates-in-profile":
			u.golden("ls/surroundings", u.run("ls", "hello"))
			if r := u.run("ls", "hello", "--json"); !json.Valid([]byte(r.stdout)) || !strings.Contains(r.stdout, `"sessionStorage": "/mnt/work"`) {
				t.Errorf("%s", r)
			}
		case "ports":
			if b, _ := json.Marshal(f.runtimes[id]["allowedPorts"]); string(b) != `[{"port":8100},{"portRange":{"from":8200,"to":8210}}]` {
				t.Errorf("%s: %s", step.name, b)
			}
		case "ports-none":
			if ports, there := f.runtimes[id]["allowedPorts"]; there {
				t.Errorf("%s: %v", step.name, ports)
			}
		case "cleared":
			u.golden("deploy/surroundings-json", u.run("deploy", dir, "--json"))
		}
	}
}

// TestDeployKeepsAccessPoints holds that session storage comes and goes without
// the directories that an agent shares with others.
func TestDeployKeepsAccessPoints(t *testing.T) {
	u, f := withServer(t)
	dir := agentFolder(t, u, "hello")
	id := f.add("hello")
	const point = `{"efsAccessPoint":{"accessPointArn":"arn:aws:elasticfilesystem:us-east-1:111122223333:access-point/fsap-0123456789abcdef0","mountPath":"/mnt/shared"}}`
	const storage = `{"sessionStorage":{"mountPath":"/mnt/work"}}`
	var old any
	if err := json.Unmarshal([]byte("["+point+"]"), &old); err != nil {
		t.Fatal(err)
	}
	f.runtimes[id]["filesystemConfigurations"] = old
	for _, step := range []struct{ flag, want string }{
		{"/mnt/work", "[" + point + "," + storage + "]"}, {"/mnt/work", "[" + point + "," + storage + "]"}, {"none", "[" + point + "]"},
	} {
		if r := u.run("deploy", dir, "--storage", step.flag); r.code != 0 || !strings.Contains(r.stderr, "access point /mnt/shared=arn:aws:elasticfilesystem:") {
			t.Errorf("%s", r)
		}
		if got, _ := json.Marshal(f.runtimes[id]["filesystemConfigurations"]); string(got) != step.want {
			t.Errorf("--storage %s: %s, want %s", step.flag, got, step.want)
		}
	}
	if r := u.run("ls", "hello", "--json"); !strings.Contains(r.stdout, `"/mnt/shared=arn:aws:elasticfilesystem:`) {
		t.Errorf("%s", r)
	}
}

// TestShowAll shows what was set by the API alone, too.
func TestShowAll(t *testing.T) {
	u, f := withServer(t)
	id := f.add("hello")
	more := map[string]any{}
	if err := json.Unmarshal([]byte(`{
		"hooksConfiguration": {"build": {"warmup": {"action": {"httpPost": {"path": "/warm", "port": 8081}}}}},
		"lifecycleConfiguration": {"idleRuntimeSessionTimeout": 900, "maxLifetime": 1209600},
		"resourceConfigurations": [{"minimumMemoryInMiB": 3072}],
		"allowedPorts": [{"port": 8100}, {"portRange": {"from": 8200, "to": 8210}}],
		"filesystemConfigurations": [
			{"sessionStorage": {"mountPath": "/mnt/work"}},
			{"efsAccessPoint": {"accessPointArn": "arn:aws:elasticfilesystem:us-east-1:111122223333:access-point/fsap-0123456789abcdef0", "mountPath": "/mnt/shared"}}
		]}`), &more); err != nil {
		t.Fatal(err)
	}
	maps.Copy(f.runtimes[id], more)
	u.golden("ls/all", u.run("ls", "hello"))
	r := u.run("ls", "hello", "--json")
	var row agentRow
	if err := json.Unmarshal([]byte(r.stdout), &row); err != nil || row.Memory != 3072 || row.IdleTimeout != 900 || row.MaxLifetime != 1209600 || row.Warmup == nil || *row.Warmup != (warmup{"/warm", 8081}) || len(row.AllowedPorts) != 2 || len(row.AccessPoints) != 1 {
		t.Errorf("%v\n%s", err, r)
	}
	// Of a later form than this version knows nothing is shown, and nothing breaks.
	f.runtimes[id]["hooksConfiguration"], f.runtimes[id]["resourceConfigurations"] = []any{1}, map[string]any{}
	if r := u.run("ls", "hello"); r.code != 0 || strings.Contains(r.stdout, "warm-up") || strings.Contains(r.stdout, "MiB") {
		t.Errorf("%s", r)
	}
}

// version counts the changes of a runtime.
func (f *fake) version(id string) (changes int) {
	for _, call := range f.calls {
		if call == "PUT /runtimes/" || call == "PUT /runtimes/"+id+"/" {
			changes++
		}
	}
	return changes
}

// TestDeployProject holds that what a project of AgentCore's own tools says of
// network and storage is not lost in silence.
func TestDeployProject(t *testing.T) {
	for name, test := range map[string]struct{ file, text, wants string }{
		"yaml-vpc":     {".bedrock_agentcore.yaml", "agents:\n  hello:\n    aws:\n      network_configuration:\n        network_mode: VPC\n", "--network=public"},
		"json-vpc":     {"agentcore/agentcore.json", `{"runtimes": [{"name": "hello", "networkMode": "VPC"}]}`, "--network=public"},
		"json-storage": {"agentcore.json", `{"runtimes": [{"filesystemConfigurations": [{"sessionStorage": {"mountPath": "/mnt/data"}}]}]}`, "--storage=/mnt/data"},
		"yaml-mcp":     {".bedrock_agentcore.yaml", "agents:\n  hello:\n    aws:\n      protocol_configuration:\n        server_protocol: MCP\n", "--protocol=mcp"},
		"json-a2a":     {"agentcore/agentcore.json", `{"runtimes": [{"name": "hello", "protocol": "A2A"}]}`, "--protocol=a2a"},
		"yaml-public":  {".bedrock_agentcore.yaml", "network_mode: PUBLIC\nnetwork_mode_config: null\nserver_protocol: HTTP\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			u, f := withServer(t)
			dir := agentFolder(t, u, "hello")
			path := filepath.Join(dir, test.file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(test.text), 0o644); err != nil {
				t.Fatal(err)
			}
			u.golden("deploy/project-"+name, u.run("deploy", dir))
			if test.wants == "" {
				return
			}
			if len(f.runtimes) != 0 {
				t.Fatal("it was deployed")
			}
			if r := u.run("deploy", dir, test.wants); r.code != 0 {
				t.Fatalf("%s", r)
			}
			if r := u.run("deploy", dir); test.file == "agentcore.json" && r.code != 0 {
				t.Errorf("what was said once has to be said again:\n%s", r)
			}
		})
	}
}
