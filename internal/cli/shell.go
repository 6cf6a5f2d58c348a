package cli

import (
	"fmt"
	"slices"
	"strings"
)

// shell writes statements of one kind of shell. Names are variable names that
// are fit for every shell; values may hold anything but NUL.
type shell struct {
	name string
	// set exports a variable with a value.
	set func(name, value string) string
	// move exports to with the value of from.
	move func(to, from string) string
	// unset removes a variable, and is no error when there is none.
	unset func(name string) string
}

func shells() []shell {
	return []shell{
		{
			name:  "sh",
			set:   func(n, v string) string { return "export " + n + "=" + quotePOSIX(v) + ";" },
			move:  func(to, from string) string { return fmt.Sprintf(`export %s="${%s-}";`, to, from) },
			unset: func(n string) string { return "unset " + n + ";" },
		},
		{
			name:  "fish",
			set:   func(n, v string) string { return "set -gx " + n + " " + quoteFish(v) + ";" },
			move:  func(to, from string) string { return fmt.Sprintf(`set -gx %s "$%s";`, to, from) },
			unset: func(n string) string { return "set -e " + n + ";" },
		},
		{
			name:  "powershell",
			set:   func(n, v string) string { return "$env:" + n + " = " + quotePowerShell(v) + ";" },
			move:  func(to, from string) string { return fmt.Sprintf("$env:%s = $env:%s;", to, from) },
			unset: func(n string) string { return "Remove-Item Env:" + n + " -ErrorAction SilentlyContinue;" },
		},
	}
}

// shellNamed returns the shell of that name; bash, zsh and the like are sh, pwsh
// is powershell.
func shellNamed(name string) (shell, error) {
	switch name {
	case "bash", "zsh", "dash", "ksh", "ash", "posix":
		name = "sh"
	case "pwsh":
		name = "powershell"
	}
	all := shells()
	i := slices.IndexFunc(all, func(s shell) bool { return s.name == name })
	if i < 0 {
		return shell{}, misuse("--shell %s is none of sh, fish, powershell", name)
	}
	return all[i], nil
}

// quotePOSIX makes s one word of sh. What needs no quotes gets none, so that
// commands shown to a person stay readable.
func quotePOSIX(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@%+,=", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// quoteFish makes s one word of fish: in its single quotes \\ and \' are escapes.
func quoteFish(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// quotePowerShell makes s a verbatim string, in which a quote is doubled. The
// typographic quotes count as quotes too (about_Quoting_Rules).
func quotePowerShell(s string) string {
	return "'" + strings.NewReplacer("'", "''", "\u2018", "\u2018\u2018", "\u2019", "\u2019\u2019", "\u201a", "\u201a\u201a", "\u201b", "\u201b\u201b").Replace(s) + "'"
}
