package cli

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/pflag"
)

// The bounds of what an agent is told and described by, in characters, and of its
// variables in number (CreateAgentRuntime of AWS's model).
const (
	maxDescription   = 4096
	maxRole          = 2048
	maxVariables     = 50
	maxVariableName  = 100
	maxVariableValue = 5000
)

// rolePattern is the form of an execution role (CreateAgentRuntime of AWS's model).
var rolePattern = regexp.MustCompile(`^arn:aws(-[^:]+)?:iam::([0-9]{12})?:role/.+$`)

// checkWords refuses what the wire refuses, before anything is packed.
func (d *deployment) checkWords() error {
	switch {
	case strings.HasPrefix(d.role, "arn:") && (!rolePattern.MatchString(d.role) || utf8.RuneCountInString(d.role) > maxRole): // a name is looked up
		return misuse("--role %q is no ARN of a role, such as arn:aws:iam::111122223333:role/agent; see which there are: outcrop role ls", d.role)
	case utf8.RuneCountInString(d.description) > maxDescription:
		return misuse("--description has %d characters, and %d at most are kept", utf8.RuneCountInString(d.description), maxDescription)
	}
	return nil
}

// emptyLists refuses lists of nothing, as an unset variable of a script leaves them:
// they would change nothing.
func emptyLists(fs *pflag.FlagSet) (err error) {
	fs.Visit(func(f *pflag.Flag) {
		if list, ok := f.Value.(pflag.SliceValue); ok && len(list.GetSlice()) == 0 && err == nil {
			way := "name some, or leave the flag out"
			if f.Name == "allowed-ports" {
				way += "; --allowed-ports none takes all away"
			}
			err = misuse("--%s is empty; %s", f.Name, way)
		}
	})
	return err
}

// parseEnv reads NAME=VALUE, and NAME from the environment.
func (p *Program) parseEnv(entries []string) (map[string]string, error) {
	env := map[string]string{}
	for _, entry := range entries {
		name, value, given := strings.Cut(entry, "=")
		if name == "" {
			return nil, misuse("--env %q has no name", entry)
		}
		if !given {
			if value, given = p.lookup(name); !given {
				return nil, misuse("--env %s has no value, and no variable of this shell has that name", name)
			}
		}
		if err := checkVariable(name, value); err != nil {
			return nil, err
		}
		env[name] = value
	}
	if len(env) > maxVariables {
		return nil, misuse("--env gives %d variables, and an agent has %d at most", len(env), maxVariables)
	}
	return env, nil
}

// checkVariable refuses a variable that no agent can have, or could ask for. Its value
// may be a secret, and is not shown.
func checkVariable(name, value string) error {
	odd := func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }
	switch {
	case strings.ContainsFunc(name, odd):
		return misuse("--env %q: the name of a variable has no spaces in it, nor what cannot be seen; it is NAME=VALUE", name)
	case utf8.RuneCountInString(name) > maxVariableName:
		return misuse("--env %s: the name of a variable has %d characters at most, not %d", name, maxVariableName, utf8.RuneCountInString(name))
	case utf8.RuneCountInString(value) > maxVariableValue:
		return misuse("--env %s: its value has %d characters, and a variable holds %d at most; put it into a file of the agent's", name, utf8.RuneCountInString(value), maxVariableValue)
	}
	return nil
}
