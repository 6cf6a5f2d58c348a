package lambda

import (
	"regexp"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// Latest is the one qualifier that functions have here.
const Latest = "$LATEST"

// Name is what a caller calls a function by: a name, an ARN or a part of one, each with
// a qualifier or without.
type Name struct {
	Scope     store.Scope
	Function  string
	Qualifier string // empty where none is given
}

// nameForm is that of the model's NamespacedFunctionName, its parts caught.
var nameForm = regexp.MustCompile(`^(?:arn:aws[a-zA-Z-]*:lambda:)?(?:([a-z]{2}(?:-[a-z]+)+-\d):)?(?:(\d{12}):)?(?:function:)?([a-zA-Z0-9_.-]+)(?::(\$LATEST|[a-zA-Z0-9_-]+))?$`)

// ParseName reads what a caller in a scope calls a function by. qualifier is given
// apart from it, or empty.
func ParseName(scope store.Scope, text, qualifier string) (Name, error) {
	part := nameForm.FindStringSubmatch(text)
	if part == nil {
		return Name{}, fault.Invalid("FunctionName", "'%s' is neither the name of a function nor its ARN", fault.Clip(text, 200))
	}
	n := Name{Scope: scope, Function: part[3], Qualifier: part[4]}
	if part[1] != "" {
		n.Scope.Region = part[1]
	}
	if part[2] != "" {
		n.Scope.Account = part[2]
	}
	if qualifier != "" {
		if n.Qualifier != "" && n.Qualifier != qualifier {
			return Name{}, invalidParameter("The derived qualifier from the function name does not match the specified qualifier.")
		}
		n.Qualifier = qualifier
	}
	return n, nil
}

// ARN is the name to the world, with the qualifier where there is one.
func (n Name) ARN() string {
	arn := ARN(n.Scope, n.Function)
	if n.Qualifier != "" {
		arn += ":" + n.Qualifier
	}
	return arn
}

// ARN is the name of a function to the world.
func ARN(scope store.Scope, name string) string {
	return "arn:aws:lambda:" + scope.Region + ":" + scope.Account + ":function:" + name
}

// A function's sessions belong to this, then its name and the function's own id, so that
// one that is made again under a name has sessions of its own.
const ownerPrefix = "function:"

func owner(name, id string) string { return ownerPrefix + name + ":" + id }

// FunctionOf returns the name of the function whose sessions have an owner; ok is false
// for those of others.
func FunctionOf(owner string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(owner, ownerPrefix)
	name, _, _ = strings.Cut(rest, ":")
	return name, ok
}

// LogGroup is where what a function says goes unless it names another.
func LogGroup(name string) string { return "/aws/lambda/" + name }
