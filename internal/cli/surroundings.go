package cli

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/spf13/pflag"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/client"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/netprofile"
)

// surroundings are what a deployment says of the sandboxes of its agent. What it
// leaves out stays as it is.
type surroundings struct {
	network                 string // public, or vpc:PROFILE
	subnets, securityGroups []string
	storage                 string   // a path, or none
	snapshot                string   // on, off or safe
	protocol                string   // http, mcp, a2a or agui
	allowedPorts            []string // ports and ranges, or none
	// idle and lifetime end a session; zero leaves them as they are.
	idle, lifetime time.Duration
	// ports are allowedPorts as check has read them; noPorts takes all away.
	ports   []portRange
	noPorts bool
	// mapped are the subnets that the server has mapped to the profile.
	mapped []string
}

func (s *surroundings) flags(fs *pflag.FlagSet) {
	fs.Var((*nonEmpty)(&s.network), "network", "`NETWORK` it reaches: public, or vpc:PROFILE, a profile of outcrop network (default: public)")
	fs.StringSliceVar(&s.subnets, "subnets", nil, "`SUBNETS` of its VPC, as on AWS, with --security-groups; outcrop network says what they reach")
	fs.StringSliceVar(&s.securityGroups, "security-groups", nil, "security `GROUPS` of its VPC, as on AWS")
	fs.Var((*nonEmpty)(&s.storage), "storage", "`PATH` below /mnt of a directory that each session keeps when it stops, or none")
	fs.Var((*nonEmpty)(&s.snapshot), "snapshot", "`WHETHER` sessions are copies of a started one: on, off or safe, which is OUTCROP_SNAPSHOT (default: on)")
	fs.Var((*nonEmpty)(&s.protocol), "protocol", "`PROTOCOL` it speaks: http, mcp, a2a or agui, each on its port (default: http)")
	fs.StringSliceVar(&s.allowedPorts, "allowed-ports", nil, "`PORTS` of its sessions that are reached from outside: ports and ranges such as 8100,8200-8210, or none")
	fs.Var((*lifeSpan)(&s.idle), "idle-timeout", "how long a session may have nothing to do before it ends, from 1m to 14d (default 15m)")
	fs.Var((*lifeSpan)(&s.lifetime), "max-lifetime", "how long a session may last, whatever it does, from 1m to 14d (default 8h)")
}

const profilePrefix = "vpc:"

// profile is the one that --network names, if it does.
func (s *surroundings) profile() (name string, ok bool) {
	return strings.CutPrefix(s.network, profilePrefix)
}

// The forms of spec/runtime.md 2.4 and 2.9.
var (
	groupPattern   = regexp.MustCompile(`^sg-[0-9a-zA-Z]{8,17}$`)
	storagePattern = regexp.MustCompile(`^/mnt/[a-zA-Z0-9._-]+$`)
)

const noStorage = "none"

// check refuses what no server would take, before anything is packed.
func (s *surroundings) check(env map[string]string) error {
	profile, named := s.profile()
	switch {
	case named:
		if err := netprofile.CheckName(profile); err != nil {
			return misuse("--network %s: %q is no profile's name. See what there is: outcrop network", s.network, profile)
		}
	case s.network != "" && s.network != "public" && s.network != "vpc":
		return misuse("--network %q is neither public nor vpc:PROFILE. The profiles: outcrop network", s.network)
	}
	switch {
	case s.network == "vpc" && len(s.subnets) == 0:
		return misuse("--network vpc needs to know which: --network vpc:PROFILE, or --subnets and --security-groups")
	case s.network != "" && s.network != "vpc" && len(s.subnets)+len(s.securityGroups) > 0:
		return misuse("--network %s and --subnets or --security-groups say two things; leave one out", s.network)
	case (len(s.subnets) == 0) != (len(s.securityGroups) == 0):
		return misuse("a VPC has --subnets and --security-groups, as on AWS; --network vpc:PROFILE needs neither")
	}
	if len(s.subnets) > 0 {
		if err := netprofile.CheckSubnets(s.subnets); err != nil {
			return misuse("--subnets: %s", fault.From(err).Message)
		}
	}
	for _, group := range s.securityGroups {
		if !groupPattern.MatchString(group) {
			return misuse("--security-groups: %q is no security group: sg- and 8 to 17 letters and digits", group)
		}
	}
	s.storage = strings.TrimSuffix(s.storage, "/")
	if s.storage != "" && s.storage != noStorage && (!storagePattern.MatchString(s.storage) || len(s.storage) > 200) {
		return misuse("--storage %q is no place for storage: /mnt/ and one name of letters, digits, '.', '_' and '-', or none", s.storage)
	}
	if s.snapshot != "" && !slices.Contains([]string{"on", "off", "safe"}, s.snapshot) {
		return misuse("--snapshot %q is none of on, off and safe", s.snapshot)
	}
	if s.protocol = strings.ToUpper(s.protocol); s.protocol != "" && !slices.Contains(types.ServerProtocol("").Values(), types.ServerProtocol(s.protocol)) {
		return misuse("--protocol %q is none of http, mcp, a2a and agui", strings.ToLower(s.protocol))
	}
	if s.noPorts = slices.Equal(s.allowedPorts, []string{noPorts}); !s.noPorts {
		ports, err := parseAllowed(s.allowedPorts)
		if err != nil {
			return misuse("--allowed-ports: %w", err)
		}
		s.ports = ports
	}
	if s.idle != 0 && s.lifetime != 0 {
		if err := s.checkLife("", nil); err != nil {
			return err
		}
	}
	if _, both := env[snapshotVariable]; both && s.snapshot != "" {
		return misuse("--snapshot and --env %s say two things; leave one out", snapshotVariable)
	}
	return nil
}

// look finds the subnets of the profile that is named, and warns of an agent that
// would reach nothing.
func (p *Program) look(ctx context.Context, c *client.Client, s *surroundings, where string) error {
	profile, named := s.profile()
	if !named && len(s.subnets) == 0 {
		return nil
	}
	all, err := c.Network(ctx)
	if err != nil {
		return err
	}
	if !named {
		unmapped := slices.DeleteFunc(slices.Clone(s.subnets), func(id string) bool {
			return slices.ContainsFunc(all.Profiles, func(have outcrop.NetworkProfile) bool { return slices.Contains(have.SubnetIds, id) })
		})
		if len(unmapped) > 0 {
			p.say("Warning: %s not mapped to a network, so the agent reaches nothing but Outcrop until: outcrop network map %s PROFILE%s",
				mapped(unmapped), strings.Join(unmapped, " "), where)
		}
		return nil
	}
	for _, have := range all.Profiles {
		if aws.ToString(have.ProfileName) != profile {
			continue
		}
		if s.mapped = have.SubnetIds; len(s.mapped) == 0 {
			return fail("Any one will do: outcrop network map subnet-"+standIn(profile)+" "+profile+where, "no subnet is mapped to network profile %s, and an agent names its network by subnets", profile)
		}
		return nil
	}
	return fail("Make it: outcrop network profile set "+profile+" --rule 10.1.0.0/16:443"+where+"\nSee what there is: outcrop network"+where, "there is no network profile %q", profile)
}

// standIn ends the id of a subnet or security group that stands for a profile.
func standIn(profile string) string {
	sum := sha256.Sum256([]byte(profile))
	return fmt.Sprintf("%x", sum)[:17]
}

func publicNetwork() *types.NetworkConfiguration {
	return &types.NetworkConfiguration{NetworkMode: types.NetworkModePublic}
}

// networkOf is what an agent is to have that has old.
func (s *surroundings) networkOf(old *types.NetworkConfiguration) *types.NetworkConfiguration {
	inVPC := func(subnets, groups []string) *types.NetworkConfiguration {
		return &types.NetworkConfiguration{NetworkMode: types.NetworkModeVpc, NetworkModeConfig: &types.VpcConfig{Subnets: subnets, SecurityGroups: groups}}
	}
	profile, named := s.profile()
	switch {
	case len(s.subnets) > 0:
		return inVPC(s.subnets, s.securityGroups)
	case named && old != nil && old.NetworkModeConfig != nil && subset(old.NetworkModeConfig.Subnets, s.mapped):
		return old // it is there already, by whatever subnets
	case named:
		return inVPC(s.mapped[:1], []string{"sg-" + standIn(profile)})
	case s.network != "":
		return publicNetwork()
	}
	return old
}

func subset(some, of []string) bool {
	return !slices.ContainsFunc(some, func(id string) bool { return !slices.Contains(of, id) })
}

// filesOf is what an agent is to have that has old: its access points stay,
// whatever becomes of its session storage.
func (s *surroundings) filesOf(old []types.FilesystemConfiguration) []types.FilesystemConfiguration {
	if s.storage == "" || s.storage == storageIn(old) {
		return old
	}
	var files []types.FilesystemConfiguration
	for _, f := range old {
		if _, storage := f.(*types.FilesystemConfigurationMemberSessionStorage); !storage {
			files = append(files, f)
		}
	}
	if s.storage == noStorage {
		return files
	}
	return append(files, &types.FilesystemConfigurationMemberSessionStorage{Value: types.SessionStorageConfiguration{MountPath: &s.storage}})
}

// storageIn is where session storage is mounted, without the slash that may end
// it; "" is nowhere.
func storageIn(files []types.FilesystemConfiguration) string {
	for _, f := range files {
		if storage, ok := f.(*types.FilesystemConfigurationMemberSessionStorage); ok {
			return strings.TrimSuffix(aws.ToString(storage.Value.MountPath), "/")
		}
	}
	return ""
}

// accessPointsIn are the access points of EFS and S3 Files, each as PATH=ARN.
func accessPointsIn(files []types.FilesystemConfiguration) []string {
	var points []string
	for _, f := range files {
		switch point := f.(type) {
		case *types.FilesystemConfigurationMemberEfsAccessPoint:
			points = append(points, aws.ToString(point.Value.MountPath)+"="+aws.ToString(point.Value.AccessPointArn))
		case *types.FilesystemConfigurationMemberS3FilesAccessPoint:
			points = append(points, aws.ToString(point.Value.MountPath)+"="+aws.ToString(point.Value.AccessPointArn))
		}
	}
	return points
}

// protocolOf is what an agent is to speak that speaks old. Port and path are the
// protocol's, and go with it.
func (s *surroundings) protocolOf(old *types.ProtocolConfiguration) *types.ProtocolConfiguration {
	wanted := types.ServerProtocol(s.protocol)
	switch {
	case wanted == "", protocolIn(old) == wanted:
		return old
	case wanted == types.ServerProtocolHttp:
		return nil
	}
	return &types.ProtocolConfiguration{ServerProtocol: wanted}
}

// protocolIn is what an agent speaks: HTTP where nobody said anything.
func protocolIn(c *types.ProtocolConfiguration) types.ServerProtocol {
	if c == nil {
		return types.ServerProtocolHttp
	}
	return c.ServerProtocol
}

// snapshotVariable says whether a runtime is saved (docs/sessions.md).
const snapshotVariable = "OUTCROP_SNAPSHOT"

// environmentOf is old with what this deployment adds.
func (d deployment) environmentOf(old, added map[string]string) map[string]string {
	env := maps.Clone(old)
	if d.clearEnv || env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, added)
	switch d.snapshot {
	case "on":
		delete(env, snapshotVariable)
	case "off", "safe":
		env[snapshotVariable] = d.snapshot
	}
	if len(env) == 0 {
		return nil
	}
	return env
}

// sameNetwork compares what may be nil.
func sameNetwork(a, b *types.NetworkConfiguration) bool {
	if a == nil || b == nil || a.NetworkModeConfig == nil || b.NetworkModeConfig == nil {
		return a == b || a != nil && b != nil && a.NetworkMode == b.NetworkMode && a.NetworkModeConfig == b.NetworkModeConfig
	}
	return a.NetworkMode == b.NetworkMode && slices.Equal(a.NetworkModeConfig.Subnets, b.NetworkModeConfig.Subnets) &&
		slices.Equal(a.NetworkModeConfig.SecurityGroups, b.NetworkModeConfig.SecurityGroups)
}
