package main

import "strings"

// service is what Outcrop decides about one service model.
type service struct {
	// Model is botocore's name of the service, Package the Go package written for it.
	Model, Package string
	// Own is set for the API that AWS has nothing for; its model is ours, in models/.
	Own bool
	// Signing is the credential scope where the model names none.
	Signing string
	Groups  []group
	// ServedShapesOnly leaves out the types of refused operations: for the
	// neighbours, of whose operations we serve a slice.
	ServedShapesOnly bool
	// Requires replaces the inferred requirement list of an operation; each
	// entry is "action resource", or "action resource ?member" where the
	// requirement holds only if the member is set; several, "?member ?!other", hold
	// together, and ! stands for not. In the resource {member} is the input's, or one
	// of its members' with dots; one that is an ARN itself replaces everything before
	// it, and {member:X} stands for X where the member is absent. "none" asks nothing, and
	// "none: reason" leaves all asking to the handler.
	Requires map[string][]string
	// Keys are the condition keys that an operation's input fills; each entry is
	// "key member.path", "key member.path set:unset" for values that say whether the
	// member is there, or "key =value" for one that is always the same. A key that ends
	// in a slash is one for each tag in the member, or for each claim where that is a token.
	Keys map[string][]string
	// Patterns replaces a shape's pattern by ours, with the reason.
	Patterns map[string]override
	// RefusedMembers are "Shape.member": reason; RefusedValues "Shape=VALUE": reason.
	RefusedMembers map[string]string
	RefusedValues  map[string]string
	// Streaming are "Shape.member" blobs that the model holds whole and we stream.
	Streaming map[string]bool
	// Bodies bounds the bodies of operations, in bytes, that may be larger than others.
	Bodies map[string]int64
	// Former are "METHOD path" that an operation had in older models and that
	// clients built from them still send; several have ", " between them.
	Former map[string]string
	// Roots names the root element of an XML answer where it is not the
	// output's own name; "-" stands for the output's one member, unwrapped.
	Roots map[string]string
	// Secret are the operations whose answers hand out a secret.
	Secret string
	// Bearer are the operations that are called with a bearer token too, where
	// the resource has a customJWTAuthorizer.
	Bearer string
	// Metadata lists the operations that are stored and echoed without effect, by
	// the reason.
	Metadata map[string]string
}

// override is a constraint of ours in place of the model's.
type override struct{ pattern, reason string }

// group is one handler interface.
type group struct {
	Name string
	// Doc ends the sentence "GroupName serves ...".
	Doc    string
	Served string
	// Refused lists operations by the reason for which they are refused.
	Refused map[string]string
}

func (s service) signingName() string { return s.Signing }

// Reasons why a group is refused as a whole, until it is built.
const (
	laterRuntime  = "this part of the Runtime service is not built yet"
	laterGateway  = "the Gateway service is not built yet"
	laterMemory   = "the Memory service is not built yet"
	laterCode     = "the Code Interpreter service is not built yet"
	laterBrowser  = "the Browser service is not built yet"
	laterPolicy   = "Policy engines are not built yet"
	laterEval     = "Evaluations, datasets and configuration bundles are not built yet"
	laterRegistry = "the agent registry is not built yet"
	laterHarness  = "the agent harness is not built yet"
	laterPayments = "Payments are not built yet"
	notHere       = "it is reachable on AWS only"
)

// One file a service holds what is decided about it. A new operation in a moved
// model is in no list there, and the generator fails until somebody puts it into
// one.
var services = []service{agentcoreControl, agentcoreData, modelRuntime, objectStore, operator, imageRegistry, securityTokens, accessManagement, userPools, auditTrail, keyManagement, secretsManager, functions}

// decided returns each operation's group index and refusal, or complains
// about one that is in no list or in two.
func (s service) decided() (map[string]int, map[string]string, error) {
	groups, refused := map[string]int{}, map[string]string{}
	for i, g := range s.Groups {
		for _, op := range strings.Fields(g.Served) {
			if _, twice := groups[op]; twice {
				return nil, nil, errTwice(op)
			}
			groups[op] = i
		}
		for reason, list := range g.Refused {
			for _, op := range strings.Fields(list) {
				if _, twice := groups[op]; twice {
					return nil, nil, errTwice(op)
				}
				groups[op], refused[op] = i, reason
			}
		}
	}
	return groups, refused, nil
}
