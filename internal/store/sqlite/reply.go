package sqlite

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/store"
)

// purgeReplies is how many expired replies a new one takes along: more than one,
// so that the table shrinks to what is alive.
const purgeReplies = 8

// Reply implements store.ReplyReader.
func (t *tx) Reply(token store.Token) (store.SavedReply, error) {
	var saved store.SavedReply
	var body string
	var expires int64
	err := t.get(`SELECT hash, body, expires FROM replies
		WHERE account = ? AND region = ? AND operation = ? AND token = ? AND expires > ?`,
		[]any{token.Scope.Account, token.Scope.Region, token.Operation, token.Key, micros(t.now)},
		&saved.RequestHash, &body, &expires)
	if err != nil {
		return saved, fmt.Errorf("get reply of %s: %w", token.Operation, err)
	}
	saved.Body, saved.Expires = json.RawMessage(body), instant(expires)
	return saved, nil
}

// SaveReply implements store.ReplyWriter.
func (t *tx) SaveReply(token store.Token, body json.RawMessage, life time.Duration) error {
	if err := token.Check(body); err != nil {
		return err
	}
	_, err := t.exec(`DELETE FROM replies WHERE (account, region, operation, token) IN
		(SELECT account, region, operation, token FROM replies WHERE expires <= ? ORDER BY expires LIMIT ?)`,
		micros(t.now), purgeReplies)
	if err == nil {
		_, err = t.exec(`INSERT INTO replies (account, region, operation, token, hash, body, expires)
			VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (account, region, operation, token)
			DO UPDATE SET hash = excluded.hash, body = excluded.body, expires = excluded.expires`,
			token.Scope.Account, token.Scope.Region, token.Operation, token.Key,
			token.RequestHash, string(body), micros(t.expiry(life)))
	}
	if err != nil {
		return fmt.Errorf("save reply of %s: %w", token.Operation, err)
	}
	return nil
}
