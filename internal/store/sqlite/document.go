package sqlite

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/outcrop/outcrop/internal/store"
)

const documentColumns = `seq, account, region, kind, id, COALESCE(name, ''), parent,
	revision, created, updated, spec, state, state_version`

// scanDocument reads documentColumns.
func scanDocument(scan func(...any) error) (d store.Document, seq int64, err error) {
	var created, updated int64
	var spec, state string
	err = scan(&seq, &d.Scope.Account, &d.Scope.Region, &d.Kind, &d.ID, &d.Name, &d.Parent,
		&d.Revision, &created, &updated, &spec, &state, &d.StateVersion)
	d.Created, d.Updated = instant(created), instant(updated)
	d.Spec, d.State = json.RawMessage(spec), json.RawMessage(state)
	return d, seq, err
}

func (t *tx) document(what string, query string, args ...any) (store.Document, error) {
	var d store.Document
	err := t.ready()
	if err == nil {
		d, _, err = scanDocument(t.conn.QueryRow(query, args...).Scan)
		if !errors.Is(err, store.ErrNotFound) {
			err = t.fail(err)
		}
	}
	if err != nil {
		return store.Document{}, fmt.Errorf("get %s: %w", what, err)
	}
	return d, nil
}

// Document implements store.DocumentReader.
func (t *tx) Document(key store.Key) (store.Document, error) {
	return t.document(key.String(),
		`SELECT `+documentColumns+` FROM documents WHERE account = ? AND region = ? AND kind = ? AND id = ?`,
		key.Scope.Account, key.Scope.Region, key.Kind, key.ID)
}

// DocumentByName implements store.DocumentReader.
func (t *tx) DocumentByName(scope store.Scope, kind, parent, name string) (store.Document, error) {
	return t.document(kind+" named "+name,
		`SELECT `+documentColumns+` FROM documents WHERE account = ? AND region = ? AND kind = ? AND parent = ? AND name = ?`,
		scope.Account, scope.Region, kind, parent, name)
}

// Documents implements store.DocumentReader.
func (t *tx) Documents(scope store.Scope, kind, parent string, page store.Page) (store.Listing[store.Document], error) {
	if !scope.Valid() {
		return store.Listing[store.Document]{}, fmt.Errorf("list %s: scope %s: %w", kind, scope, store.ErrInvalid)
	}
	return t.documents(store.DocumentListing(scope, kind, parent, page.Newest), page,
		`account = ? AND region = ? AND kind = ? AND parent = ?`, scope.Account, scope.Region, kind, parent)
}

// AllDocuments implements store.DocumentReader.
func (t *tx) AllDocuments(kind string, page store.Page) (store.Listing[store.Document], error) {
	return t.documents(store.AllListing(kind, page.Newest), page, `kind = ?`, kind)
}

// documents reads one page and one document more, which tells whether the page
// is the last.
func (t *tx) documents(listing string, page store.Page, where string, args ...any) (out store.Listing[store.Document], err error) {
	after, err := store.PagePosition(listing, page.Token)
	if err != nil {
		return out, err
	}
	query := `SELECT ` + documentColumns + ` FROM documents WHERE ` + where
	switch {
	case !page.Newest:
		query += ` AND seq > ? ORDER BY seq`
		args = append(args, after)
	case after > 0:
		query += ` AND seq < ? ORDER BY seq DESC`
		args = append(args, after)
	default:
		query += ` ORDER BY seq DESC`
	}
	limit := page.Limit()
	last := int64(0)
	err = t.list(query+` LIMIT ?`, append(args, limit+1), func(scan func(...any) error) error {
		d, seq, err := scanDocument(scan)
		if err != nil {
			return err
		}
		if len(out.Items) == limit {
			out.Next = store.PageToken(listing, last)
			return nil
		}
		out.Items, last = append(out.Items, d), seq
		return nil
	})
	if err != nil {
		return store.Listing[store.Document]{}, fmt.Errorf("list documents: %w", err)
	}
	return out, nil
}

// InsertDocument implements store.DocumentWriter.
func (t *tx) InsertDocument(d store.Document) (store.Document, error) {
	if err := d.Check(); err != nil {
		return d, err
	}
	d.Revision, d.Created, d.Updated = 1, t.now, t.now
	n, err := t.exec(`INSERT INTO documents
		(account, region, kind, id, name, parent, revision, created, updated, spec, state, state_version)
		VALUES (?, ?, ?, ?, NULLIF(?, ''), ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		d.Scope.Account, d.Scope.Region, d.Kind, d.ID, d.Name, d.Parent,
		d.Revision, micros(d.Created), micros(d.Updated), string(d.Spec), string(d.State), d.StateVersion)
	if err != nil {
		return d, fmt.Errorf("insert %s: %w", d.Key, err)
	}
	if n == 0 {
		return d, t.taken(d)
	}
	t.Touch(store.DocumentTopic(d.Kind))
	return d, nil
}

// taken finds out which unique value of d another document has.
func (t *tx) taken(d store.Document) error {
	var one int
	err := t.get(`SELECT 1 FROM documents WHERE account = ? AND region = ? AND kind = ? AND id = ?`,
		[]any{d.Scope.Account, d.Scope.Region, d.Kind, d.ID}, &one)
	switch {
	case err == nil:
		return &store.ExistsError{Kind: d.Kind, Field: "id", Value: d.ID}
	case errors.Is(err, store.ErrNotFound):
		return &store.ExistsError{Kind: d.Kind, Field: "name", Value: d.Name}
	}
	return fmt.Errorf("insert %s: %w", d.Key, err)
}

// ReplaceDocument implements store.DocumentWriter.
func (t *tx) ReplaceDocument(d store.Document) (store.Document, error) {
	if err := d.Check(); err != nil {
		return d, err
	}
	// OR IGNORE leaves a document whose new name is taken as it is.
	var created int64
	var parent string
	err := t.get(`UPDATE OR IGNORE documents
		SET name = NULLIF(?, ''), revision = revision + 1, updated = ?, spec = ?, state = ?, state_version = ?
		WHERE account = ? AND region = ? AND kind = ? AND id = ? AND revision = ?
		RETURNING created, parent`,
		[]any{d.Name, micros(t.now), string(d.Spec), string(d.State), d.StateVersion,
			d.Scope.Account, d.Scope.Region, d.Kind, d.ID, d.Revision}, &created, &parent)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return d, t.notReplaced(d)
	case err != nil:
		return d, fmt.Errorf("replace %s: %w", d.Key, err)
	}
	t.wrote = true
	d.Revision++
	d.Created, d.Updated, d.Parent = instant(created), t.now, parent
	t.Touch(store.DocumentTopic(d.Kind))
	return d, nil
}

// notReplaced finds out why no row matched.
func (t *tx) notReplaced(d store.Document) error {
	var revision int64
	err := t.get(`SELECT revision FROM documents WHERE account = ? AND region = ? AND kind = ? AND id = ?`,
		[]any{d.Scope.Account, d.Scope.Region, d.Kind, d.ID}, &revision)
	switch {
	case err != nil:
		return fmt.Errorf("replace %s: %w", d.Key, err)
	case revision != d.Revision:
		return fmt.Errorf("replace %s: revision %d, stored is %d: %w", d.Key, d.Revision, revision, store.ErrStale)
	}
	return &store.ExistsError{Kind: d.Kind, Field: "name", Value: d.Name}
}

// DeleteDocument implements store.DocumentWriter.
func (t *tx) DeleteDocument(key store.Key) error {
	n, err := t.exec(`DELETE FROM documents WHERE account = ? AND region = ? AND kind = ? AND id = ?`,
		key.Scope.Account, key.Scope.Region, key.Kind, key.ID)
	if err == nil && n == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	t.Touch(store.DocumentTopic(key.Kind))
	return nil
}
