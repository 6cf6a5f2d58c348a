package auth

// Kind says what sort of identity a principal is.
type Kind uint8

// The kinds of principal. The zero value is nobody and is allowed nothing.
const (
	Nobody      Kind = iota
	Root             // the account itself: its root access key
	User             // an IAM user
	AssumedRole      // a session of a role
	Service          // Outcrop acting for itself
)

var kindNames = [...]string{"nobody", "root", "user", "assumed-role", "service"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// MarshalText writes the kind's name, so that stored records stay readable.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText wrote. An unknown name is Nobody, so a
// record from a newer version gives no rights here.
func (k *Kind) UnmarshalText(text []byte) error {
	*k = Nobody
	for i, name := range kindNames {
		if name == string(text) {
			*k = Kind(i)
		}
	}
	return nil
}

// Principal is who a request was authenticated as.
type Principal struct {
	// Account is the 12 digit account the principal belongs to.
	Account string
	// ARN names the principal, for example arn:aws:iam::123456789012:root.
	ARN string
	// ID is the access key id that signed, or the subject of a token.
	ID string
	// UserID is aws:userid: the account of root, ROLEID:SESSION of an assumed
	// role.
	UserID string
	Kind   Kind
}

// RootARN returns the ARN of an account's root principal.
func RootARN(account string) string { return "arn:aws:iam::" + account + ":root" }
