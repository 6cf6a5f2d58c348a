package runtime

import (
	"os"
	"path"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/sandbox"
)

// accessPoint is a file system that others have too: its ARN, and where agents find
// it. A configuration of another kind has none.
func accessPoint(f agentcorecontrol.FilesystemConfiguration) (arn, mount *string) {
	switch {
	case f.EfsAccessPoint != nil:
		return f.EfsAccessPoint.AccessPointArn, f.EfsAccessPoint.MountPath
	case f.S3FilesAccessPoint != nil:
		return f.S3FilesAccessPoint.AccessPointArn, f.S3FilesAccessPoint.MountPath
	}
	return nil, nil
}

// checkFiles holds the rules of spec/runtime.md 2.9 that concern several members, and
// access points against the directories that the operator gave.
func (s *Service) checkFiles(in *agentcorecontrol.UpdateAgentRuntimeRequest) error {
	const field = "filesystemConfigurations"
	storages := 0
	var taken []string
	for _, f := range in.FilesystemConfigurations {
		arn, mount := accessPoint(f)
		if f.SessionStorage != nil {
			storages++
			mount = f.SessionStorage.MountPath
		}
		at := path.Clean(*mount)
		switch {
		case !strings.HasPrefix(at, "/mnt/"): // the model lets /mnt/.. through
			return fault.Invalid(field, "%s", field+": mountPath '"+*mount+"' is not below /mnt")
		case storages > 1:
			return fault.Invalid(field, "%s: at most one sessionStorage is allowed", field)
		case slices.Contains(taken, at):
			return fault.Invalid(field, "%s", field+": mountPath '"+*mount+"' is given twice")
		}
		taken = append(taken, at)
		if arn == nil {
			continue
		}
		if n := in.NetworkConfiguration; s.cfg.Strict && n != nil && wire.Text(n.NetworkMode) != agentcorecontrol.NetworkModeVPC {
			return fault.Invalid(field, "%s: access points are for networkMode VPC on a server that is strict (outcrop serve --strict)", field)
		}
		if s.cfg.AccessPoints[*arn] == "" {
			return fault.Invalid(field, "%s: no directory stands for access point '%s' here; the operator names one: outcrop serve --access-point %s=DIRECTORY", field, *arn, *arn)
		}
	}
	return nil
}

// accessPoints are the directories that stand for a configuration's access points.
func (s *Service) accessPoints(list []agentcorecontrol.FilesystemConfiguration) ([]sandbox.Volume, error) {
	var all []sandbox.Volume
	for _, f := range list {
		arn, mount := accessPoint(f)
		if arn == nil {
			continue
		}
		dir := s.cfg.AccessPoints[*arn]
		if dir == "" {
			return nil, fault.Validation("no directory stands for access point '%s' any more; the operator names one: outcrop serve --access-point %s=DIRECTORY", *arn, *arn)
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() { // such as a network's that is not mounted
			return nil, fault.Validation("the directory that stands for access point '%s' is not there", *arn).Because(err)
		}
		all = append(all, sandbox.Volume{Source: dir, Target: path.Clean(*mount), Shared: true})
	}
	return all, nil
}

// storagePath is where a session finds its storage, or empty.
func storagePath(list []agentcorecontrol.FilesystemConfiguration) string {
	for _, f := range list {
		if f.SessionStorage != nil {
			return path.Clean(wire.Text(f.SessionStorage.MountPath))
		}
	}
	return ""
}
