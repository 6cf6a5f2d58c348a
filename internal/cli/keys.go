package cli

// What a person at a shell can tell outcrop itself, after Enter, as with ssh.
type escape int

const (
	escapeNone   escape = iota
	escapeDetach        // ~. leaves the shell running
	escapeHelp          // ~? tells of these
)

const escapeHelpText = "~. leaves the shell running   ~~ types ~   ~? shows this; all after Enter"

// keyboard finds escapes among what is typed. The zero value is at the begin of a
// line.
type keyboard struct {
	inLine bool // something was typed since Enter
	tilde  bool // the first of the line was ~, which is held back
}

// take returns what of the typed keys goes to the shell, and the first escape
// among them, after which nothing is read; rest is what follows it.
func (k *keyboard) take(typed []byte) (keys []byte, found escape, rest []byte) {
	for i, b := range typed {
		if k.tilde {
			k.tilde = false
			switch b {
			case '.':
				return keys, escapeDetach, typed[i+1:]
			case '?':
				return keys, escapeHelp, typed[i+1:]
			case '~':
			default:
				keys = append(keys, '~')
			}
			keys = append(keys, b)
			k.inLine = !endsLine(b)
			continue
		}
		if b == '~' && !k.inLine {
			k.tilde = true
			continue
		}
		keys = append(keys, b)
		k.inLine = !endsLine(b)
	}
	return keys, escapeNone, nil
}

func endsLine(b byte) bool { return b == '\r' || b == '\n' }
