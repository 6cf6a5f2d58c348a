package sandboxtest

import "slices"

// A Part is what of the suite is run; OfStack|OfUser are tests that are of both.
type Part int

const (
	// Whole is every test, at length.
	Whole Part = 0
	// OfStack are tests whose outcome depends on the network stack of a guest,
	// and on the user that its sandbox's process is for that stack.
	OfStack Part = 1 << iota
	// OfUser are tests whose outcome depends on who runs the engine: by whose
	// leave files are read and made, namespaces, control groups and signals.
	OfUser
)

// has reports whether a test is of a part.
func (p Part) has(name string) bool {
	return (p&OfStack == 0 || slices.Contains(ofStack(), name)) && (p&OfUser == 0 || slices.Contains(ofUser(), name))
}

func ofStack() []string {
	return []string{
		"Dial", "DialRefused", "DialStopped", "DialConcurrently", "DialDeaf", "ManyRequests", "Deadline", "ClientLeaves", "BigBodies", "HalfClose",
		"Network", "NetworkStream", "NetworkHalfClose", "NetworkRefusals", "NetworkDatagrams", "NetworkFlood", "NetworkEnds", "NetworkApart",
		"NetworkSlowReader", "NetworkBandwidth", "NetworkPing", "Passthrough",
		// A save breaks connections or keeps them, and hooks are told by the network.
		"SaveAndGoOn", "SaveAndEnd", "SaveConnections", "SaveOutbound", "SaveUnsavable", "SaveGivenUp", "SaveWhileStopping", "SnapshotStream",
		"SnapshotMismatch", "ResumeConcurrently", "RestoreHook", "CopiesOfPython", "CommandAfterResume", "HookForged", "HookRefused", "Probes",
		// The process is another user: it has files, memory and processes all the same.
		"Exit", "Stop", "Close", "HostFiles", "Mounts", "Command", "RootUser", "RootSaved", "RootVolume", "VolumeKinds", "VolumeShared",
		"VolumeSnapshot", "MemoryBomb", "Processes", "OpenFiles", "CPU", "Usage",
	}
}

func ofUser() []string {
	return []string{
		"Exit", "Environment", "Refusals", "Stop", "StopStubborn", "Close", "HostFiles", "OtherSandbox", "ReadOnly", "TmpBound", "Mounts",
		"Command", "CommandLeavesBehind", "Terminal", "TerminalHungUp", "TerminalName", "TerminalNameAfterResume", "Difficult", "Probes",
		"Dial", "Network", "NetworkStream", "NetworkDatagrams", "NetworkPing", "Passthrough",
		"RootWritable", "RootShared", "RootUser", "RootSetuid", "RootDisk", "RootPoints", "RootGiven", "RootTmp", "RootLinks", "RootOverlay",
		"RootVolume", "RootSaved", "RootRefusals",
		"VolumeOutlives", "VolumeKinds", "VolumeBound", "VolumeBoundOfNames", "VolumeAlone", "VolumeShared", "VolumeRefusals", "VolumeSnapshot",
		"VolumeSnapshotOpen", "VolumeTricks",
		"LimitsDeclared", "MemoryBomb", "MemoryBombInNamespaces", "MemoryBombOfTables", "MemoryBelowLimit", "Processes", "ProcessesOfUsers",
		"Threads", "ForkBomb", "OpenFiles", "DescriptorExhaustion", "CPU", "Visible", "Usage", "Neighbour",
		"SaveAndGoOn", "SaveAndEnd", "SaveOutbound", "RestoreHook",
	}
}
