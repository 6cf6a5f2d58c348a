package workload

import "github.com/outcrop/outcrop/internal/store"

// KeptTable holds what is kept for agents and goes with their identity: the tokens
// that services gave them (package identity/vault). A key begins with scope, identity
// and credential provider, each ended by NUL, which none of them has.
const KeptTable = "workload-kept"

// KeptOf is how the keys of a scope begin.
func KeptOf(scope store.Scope) []byte {
	return []byte(scope.Account + "\x00" + scope.Region + "\x00")
}

// KeptKey is how the keys of an identity begin that are of one provider.
func KeptKey(scope store.Scope, name, provider string) []byte {
	return append(keptBy(scope, name), provider+"\x00"...)
}

func keptBy(scope store.Scope, name string) []byte {
	return append(KeptOf(scope), name+"\x00"...)
}

// KeptFor returns which identity a key is of.
func KeptFor(scope store.Scope, key []byte) string {
	rest := key[min(len(KeptOf(scope)), len(key)):]
	for i, c := range rest {
		if c == 0 {
			return string(rest[:i])
		}
	}
	return ""
}

// forgetKept takes away what is kept for an identity.
func forgetKept(tx store.Tx, scope store.Scope, name string) error {
	_, err := tx.DeleteRows(KeptTable, store.Prefix(keptBy(scope, name)))
	return err
}

// KeptEnd is the first key behind those of an identity.
func KeptEnd(scope store.Scope, name string) []byte { return store.PrefixEnd(keptBy(scope, name)) }
