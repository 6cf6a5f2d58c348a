package cli

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

// projectFiles are where AgentCore's own tools keep what they deploy, seen from a
// folder or from one below theirs.
var projectFiles = []string{".bedrock_agentcore.yaml", "agentcore.json", filepath.Join("agentcore", "agentcore.json")}

// What a project says, in YAML or JSON, that would be lost if nobody read it.
var (
	saysVPC     = regexp.MustCompile(`(?i)network_?mode["']?\s*:\s*["']?VPC\b`)
	saysStorage = regexp.MustCompile(`(?i)(session_?storage|mount_?path)["']?\s*:\s*["']?[{/\n\w]`)
	// Protocols other than HTTP, which is what an agent speaks of which nobody says anything.
	saysProtocol = regexp.MustCompile(`(?i)protocol["']?\s*:\s*["']?(MCP|A2A|AGUI)\b`)
)

// checkProject refuses to deploy an agent to another network than its project
// names, without its storage, or as one of another protocol: deploy does not read those files, and who relies
// on them would not notice. What old has, or a flag says, is the answer.
func (s *surroundings) checkProject(folder string, old *bedrockagentcorecontrol.GetAgentRuntimeOutput) error {
	for _, name := range projectFiles {
		text, err := readHead(filepath.Join(folder, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		inVPC := old != nil && old.NetworkConfiguration != nil && old.NetworkConfiguration.NetworkMode == types.NetworkModeVpc
		if saysVPC.Match(text) && s.network == "" && len(s.subnets) == 0 && !inVPC {
			return fail("Say which: --network vpc:PROFILE, or --subnets and --security-groups, or --network public. See: outcrop network --help",
				"%s has network mode VPC, and deploy does not read it", name)
		}
		stores := old != nil && storageIn(old.FilesystemConfigurations) != ""
		if saysStorage.Match(text) && s.storage == "" && !stores {
			return fail("Say where: --storage /mnt/NAME, or --storage none.", "%s has session storage, and deploy does not read it", name)
		}
		speaks := old != nil && protocolIn(old.ProtocolConfiguration) != types.ServerProtocolHttp
		if found := saysProtocol.FindSubmatch(text); found != nil && s.protocol == "" && !speaks {
			return fail("Say which: --protocol "+strings.ToLower(string(found[1]))+", or --protocol http.", "%s has protocol %s, and deploy does not read it", name, found[1])
		}
	}
	return nil
}

// readHead reads what such a file can be long.
func readHead(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 1<<20))
}
