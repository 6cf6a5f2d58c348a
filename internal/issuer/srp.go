package issuer

import (
	"cmp"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/auth/srp"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// credentials are what is kept of a password: a hash to hold it against, and a
// verifier for those who sign in without sending it (SRP). The verifier would be
// quicker to try passwords on, and is sealed.
type credentials struct {
	hash     string
	verifier []byte
}

func (c credentials) into(s *userState) { s.Hash, s.Verifier = c.hash, c.verifier }

// credentials derives what is kept of the password of a user with a sub and a name.
func (p *Pools) credentials(ctx context.Context, in Pool, sub, username string, password secret.String) (out credentials, err error) {
	if out.hash, err = p.hash(ctx, password); err != nil {
		return out, err
	}
	out.verifier, err = p.verifier(ctx, in, sub, username, password)
	return out, err
}

func verifierOwner(in Pool, sub string) secret.Owner {
	return secret.Owner{Scope: in.Scope.String(), Kind: "user-pool-verifier", ID: userID(in.ID, sub)}
}

// verifier makes the sealed verifier of a password.
func (p *Pools) verifier(ctx context.Context, in Pool, sub, username string, password secret.String) ([]byte, error) {
	done, err := p.turn(ctx)
	if err != nil {
		return nil, err
	}
	v, err := srp.New(p.cfg.Rand, in.tail(), in.handle(username), password.Bytes().Reveal())
	done()
	if err != nil {
		return nil, err
	}
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return p.cfg.Box.Seal(ctx, verifierOwner(in, sub), secret.NewBytes(plain))
}

// keepVerifier gives a user whose password is from before there were verifiers one,
// now that the password is known. What goes wrong with that is for the log alone.
func (p *Pools) keepVerifier(ctx context.Context, in Pool, u User, password secret.String) User {
	if len(u.state.Verifier) > 0 {
		return u
	}
	sealed, err := p.verifier(ctx, in, u.Sub, u.Username, password)
	next := u
	if err == nil {
		next, err = p.change(ctx, in, u.Sub, func(r *store.Resource[userSpec, userState]) error {
			if r.State.Hash == u.state.Hash {
				r.State.Verifier = sealed
			}
			return nil
		})
	}
	if err != nil {
		p.cfg.Log.Warn("a user has no verifier for SRP yet", "pool", in.ID, "user", u.Sub, "error", err)
		return u
	}
	return next
}

// tail is the part of the pool's id by which SRP names it.
func (p Pool) tail() string { return p.ID[strings.IndexByte(p.ID, '_')+1:] }

// SRPName is the name by which a user signs in with SRP (USER_ID_FOR_SRP). It does not
// tell how the user's name is written where case is nothing: that would tell who
// exists.
func (p Pool) SRPName(u User) string { return p.handle(u.Username) }

// SRPChallenge is what a client needs to prove a password by SRP.
type SRPChallenge struct {
	// Salt and Public are in hexadecimal; User is what the password was hashed with.
	Salt, Public, User string
	// Block comes back with the answer, in base64.
	Block secret.String
	// Sub is whom the name is of, if anybody: for records, never for the caller.
	Sub string
}

// exchange is what a block holds, sealed.
type exchange struct {
	Client string `json:"client"`
	// Asked is the name that was given, User the one to answer with. Sub is empty of
	// nobody.
	Asked string `json:"asked"`
	User  string `json:"user"`
	Sub   string `json:"sub,omitempty"`
	// Verifier is the digest of the user's: another password ends the exchange.
	Verifier string       `json:"verifier,omitempty"`
	Expires  int64        `json:"expires"`
	SRP      srp.Exchange `json:"srp"`
}

func exchangeOwner(in Pool) secret.Owner {
	return secret.Owner{Scope: in.Scope.String(), Kind: "user-pool-exchange", ID: in.ID}
}

// maxSRPName bounds the name in a challenge (UsernameType of cognito-idp's model).
const maxSRPName = 128

// StartSRP begins a sign-in in which the password is proven and not sent. A name that
// is nobody's gets a challenge as well, which always is the same for it, after as
// long; only a client with TellsUsers is told.
func (p *Pools) StartSRP(ctx context.Context, in Pool, c Client, name, public string) (SRPChallenge, error) {
	a, err := srp.ParsePublic(public)
	if err != nil {
		return SRPChallenge{}, Invalid("Invalid SRP_A: %s", err.Error())
	}
	if len(name) > maxSRPName {
		return SRPChallenge{}, Invalid("USERNAME must have no more than %d bytes", maxSRPName)
	}
	u, err := p.srpUser(ctx, in, name)
	if err != nil {
		return SRPChallenge{}, err
	}
	if u.Sub == "" && c.TellsUsers {
		return SRPChallenge{}, noUser()
	}
	if p.attempts.paused(attemptKey(in, u, name), p.cfg.Now()) {
		return SRPChallenge{Sub: u.Sub}, NotAuthorized("Password attempts exceeded")
	}
	v, held, err := p.verifierOf(ctx, in, u, name)
	if err != nil {
		return SRPChallenge{}, err
	}
	held.Client, held.Expires = c.ID, p.cfg.Now().Add(c.SessionLife()).Unix()
	out := SRPChallenge{Salt: hex.EncodeToString(v.Salt), User: held.User, Sub: u.Sub}
	done, err := p.turn(ctx)
	if err != nil {
		return out, err
	}
	held.SRP, out.Public, err = v.Begin(p.cfg.Rand, a)
	done()
	if err != nil {
		return out, err
	}
	plain, err := json.Marshal(held)
	if err != nil {
		return out, err
	}
	sealed, err := p.cfg.Box.Seal(ctx, exchangeOwner(in), secret.NewBytes(plain))
	out.Block = secret.NewString(base64.StdEncoding.EncodeToString(sealed))
	return out, err
}

// srpUser is the user with a name, or nobody. Where users have names they are not
// found by sub, as the challenge would tell the name.
func (p *Pools) srpUser(ctx context.Context, in Pool, name string) (User, error) {
	if len(in.SignInBy) == 0 && isSub(name) {
		return User{}, nil
	}
	u, err := p.User(ctx, in, name)
	if isAbsent(err) {
		return User{}, nil
	}
	return u, err
}

// verifierOf returns a user's verifier, or the decoy of nobody and of one whose
// password is from before there were verifiers. The decoy is made either way, and as
// much is opened and read, so that it takes as long.
func (p *Pools) verifierOf(ctx context.Context, in Pool, u User, name string) (srp.Verifier, exchange, error) {
	held := exchange{Asked: name, User: in.handle(name)}
	if isSub(name) {
		held.User = strings.ToLower(name)
	}
	key, owner, err := p.decoyKey(ctx, in)
	if err != nil {
		return srp.Verifier{}, held, err
	}
	seed, err := p.cfg.Box.Open(ctx, owner, key)
	if err != nil {
		return srp.Verifier{}, held, fmt.Errorf("open decoys' key of %s: %w", in.ID, err)
	}
	drawn, err := hkdf.Key(sha256.New, seed.Reveal(), nil, held.User, 32)
	if err != nil {
		return srp.Verifier{}, held, err
	}
	v := srp.Decoy(drawn[:16])
	if len(in.SignInBy) > 0 && !isSub(name) {
		// Of users who sign in by an address the challenge has the sub.
		id := uuid.UUID(drawn[16:])
		id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // version 4, as newUUID's
		held.User = id.String()
	}
	known := len(u.state.Verifier) > 0
	if known {
		key, owner = u.state.Verifier, verifierOwner(in, u.Sub)
	}
	plain, err := p.cfg.Box.Open(ctx, owner, key)
	if err != nil {
		return v, held, fmt.Errorf("open verifier of user %s: %w", u.Sub, err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return v, held, err
	}
	if known {
		text = plain.Reveal()
		held.Verifier = digestOf(secret.NewBytes(u.state.Verifier).Text())
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return v, held, fmt.Errorf("read verifier of user %s: %w", u.Sub, err)
	}
	if u.Sub != "" {
		held.User, held.Sub = in.SRPName(u), u.Sub
	}
	return v, held, nil
}

// decoyKey returns the sealed key of which the pool draws what names that are nobody's
// are challenged with; the first call makes it.
func (p *Pools) decoyKey(ctx context.Context, in Pool) (sealed []byte, owner secret.Owner, err error) {
	owner = secret.Owner{Scope: in.Scope.String(), Kind: "user-pool-decoy", ID: in.ID}
	row := decoyName(in.ID)
	read := func(r store.Reader) (err error) {
		sealed, err = r.Row(names, row)
		return err
	}
	err = p.cfg.Store.View(ctx, read)
	if !errors.Is(err, store.ErrNotFound) {
		return sealed, owner, err
	}
	fresh := make([]byte, 32)
	if _, err := io.ReadFull(p.cfg.Rand, fresh); err != nil {
		return nil, owner, fmt.Errorf("make decoys' key: %w", err)
	}
	made, err := p.cfg.Box.Seal(ctx, owner, secret.NewBytes(fresh))
	if err != nil {
		return nil, owner, err
	}
	err = p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if err := read(tx); !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if _, err := getPool(tx, in.Scope, in.ID); err != nil {
			return err
		}
		sealed = made
		return tx.PutRow(names, row, made)
	})
	return sealed, owner, err
}

// SRPAnswer is what a client answers a challenge with.
type SRPAnswer struct {
	Name      string
	Block     secret.String
	Signature string // in base64
	Timestamp string
}

// timestampForm is how clients write when they answer: EEE MMM d HH:mm:ss z yyyy.
const timestampForm = "Mon Jan 2 15:04:05 MST 2006"

// AnswerSRP ends what StartSRP began, as Authenticate does: all that is wrong with the
// name or the password is one refusal, and counts as one failure. A challenge signs in
// once. With a refusal comes whom the challenge is for, if anybody, as of Authenticate.
func (p *Pools) AnswerSRP(ctx context.Context, in Pool, c Client, answer SRPAnswer) (User, error) {
	if _, err := time.Parse(timestampForm, answer.Timestamp); err != nil {
		return User{}, Invalid("TIMESTAMP format should be EEE MMM d HH:mm:ss z yyyy in english.")
	}
	signature, err := base64.StdEncoding.DecodeString(answer.Signature)
	if err != nil {
		return User{}, Invalid("PASSWORD_CLAIM_SIGNATURE is not base64")
	}
	held, block, err := p.openExchange(ctx, in, c, answer.Block)
	if err != nil {
		return User{}, err
	}
	if name := in.handle(answer.Name); name != held.User && name != in.handle(held.Asked) {
		return User{}, errSession()
	}
	// Nobody is looked for as well, which takes as long.
	u, err := p.User(ctx, in, cmp.Or(held.Sub, held.User))
	if err != nil && !isAbsent(err) {
		return User{}, err
	}
	key := attemptKey(in, u, held.Asked)
	if !p.attempts.try(key, p.cfg.Now()) {
		return u, NotAuthorized("Password attempts exceeded")
	}
	ok, err := p.signed(ctx, in, u, held, srp.Statement{Pool: in.tail(), User: held.User, Block: block, Timestamp: answer.Timestamp}, signature)
	if err != nil {
		p.attempts.uncount(key)
		return u, err
	}
	if !ok {
		return u, wrongPassword().Because(p.why(in, u))
	}
	if err := p.spend(ctx, in, held, block); err != nil {
		return u, err
	}
	p.attempts.forgive(key)
	if err := p.admitted(u); err != nil {
		return u, err
	}
	return u, nil
}

// why is the reason of a refusal, which the caller does not get to know.
func (p *Pools) why(in Pool, u User) error {
	switch {
	case u.Sub == "":
		return noUser()
	case len(u.state.Verifier) == 0:
		p.cfg.Log.Info("a user has no verifier for SRP: set the password anew, or sign in once with USER_PASSWORD_AUTH", "pool", in.ID, "user", u.Sub)
		return errors.New("the user's password was set before there were verifiers for SRP")
	}
	return errors.New("the signature is not of the user's password")
}

func (p *Pools) openExchange(ctx context.Context, in Pool, c Client, block secret.String) (held exchange, raw []byte, err error) {
	if len(block.Reveal()) > maxBlock {
		return held, nil, errSession()
	}
	if raw, err = base64.StdEncoding.DecodeString(block.Reveal()); err != nil {
		return held, nil, errSession()
	}
	plain, err := p.cfg.Box.Open(ctx, exchangeOwner(in), raw)
	if err != nil {
		return held, nil, NotAuthorized("Invalid session for the user.").Because(err)
	}
	if err := json.Unmarshal(plain.Reveal(), &held); err != nil {
		return held, nil, err
	}
	if held.Client != c.ID || p.cfg.Now().Unix() >= held.Expires {
		return held, nil, errSession()
	}
	return held, raw, nil
}

// maxBlock bounds the block of a challenge, in characters: what it holds has fewer.
const maxBlock = 8192

// signed reports whether an answer is signed with the user's password, which is the
// one that the challenge was made for.
func (p *Pools) signed(ctx context.Context, in Pool, u User, held exchange, by srp.Statement, signature []byte) (bool, error) {
	v, now, err := p.verifierOf(ctx, in, u, held.Asked)
	if err != nil {
		return false, err
	}
	done, err := p.turn(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	ok, err := v.Signed(held.SRP, by, signature)
	return ok && held.Verifier != "" && held.Verifier == now.Verifier && held.Sub == u.Sub, err
}

// spend notes that a challenge has signed somebody in, for as long as it is good.
func (p *Pools) spend(ctx context.Context, in Pool, held exchange, block []byte) error {
	key := row(in.ID, "srp", digestOf(secret.NewBytes(block).Text()))
	return p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		var before struct{}
		found, err := get(tx, key, &before)
		if err != nil {
			return err
		}
		if found {
			return errSession()
		}
		return put(tx, key, struct {
			Expires int64 `json:"expires"`
		}{held.Expires})
	})
}
