package principal

import (
	"errors"

	"github.com/outcrop/outcrop/internal/auth/policy"
)

// checkIdentityPolicy refuses what is no policy of a principal.
func checkIdentityPolicy(document string) error { return checkDocument(document, policy.Identity) }

func checkDocument(document string, kind policy.Kind) error {
	_, err := policy.Parse([]byte(document), kind)
	return wrongDocument(err)
}

// wrongDocument words what is wrong with a document.
func wrongDocument(err error) error {
	if wrong, ok := errors.AsType[*policy.Error](err); ok {
		return malformed("%s", wrong.Error())
	}
	return err
}
