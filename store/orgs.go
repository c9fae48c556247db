package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/magpie-hq/magpie/lookup"
)

// Org is an organization.
type Org struct {
	ID        string
	Name      string
	CreatedAt time.Time
}

// CreateOrg stores an organization with an empty account. An empty id gets a
// new one.
func (d *DB) CreateOrg(ctx context.Context, id, name string, now time.Time) (Org, error) {
	if id == "" {
		id = NewID("org", now)
	}
	org := Org{ID: id, Name: name, CreatedAt: now.UTC().Truncate(time.Millisecond)}
	err := d.Write(ctx, func(tx *Tx) error {
		if err := exec(ctx, tx, 1, `INSERT INTO orgs (id, name, created_at) VALUES (?, ?, ?)`, id, name, millis(now)); err != nil {
			if d.dialect.unique(err) {
				return ErrConflict
			}
			return err
		}
		return exec(ctx, tx, 1, `INSERT INTO accounts (org, generation, grants, seq, granted, charged, expired, revoked, available)
			VALUES (?, 0, 0, 0, 0, 0, 0, 0, 0)`, id)
	})
	if err != nil {
		return Org{}, fmt.Errorf("store: create organization: %w", err)
	}
	return org, nil
}

// GetOrg returns an organization, or [ErrNotFound].
func (d *DB) GetOrg(ctx context.Context, id string) (Org, error) {
	org := Org{ID: id}
	var created int64
	err := d.QueryRowContext(ctx, `SELECT name, created_at FROM orgs WHERE id = ?`, id).Scan(&org.Name, &created)
	if err != nil {
		return Org{}, fmt.Errorf("store: organization: %w", notFound(err))
	}
	org.CreatedAt = fromMillis(created)
	return org, nil
}

// Orgs lists organizations by age, those after the id `after`.
func (d *DB) Orgs(ctx context.Context, after string, limit int) ([]Org, error) {
	rows, err := d.QueryContext(ctx, `SELECT id, name, created_at FROM orgs WHERE id > ? ORDER BY id LIMIT ?`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("store: organizations: %w", err)
	}
	defer rows.Close()
	var orgs []Org
	for rows.Next() {
		var org Org
		var created int64
		if err := rows.Scan(&org.ID, &org.Name, &created); err != nil {
			return nil, fmt.Errorf("store: organizations: %w", err)
		}
		org.CreatedAt = fromMillis(created)
		orgs = append(orgs, org)
	}
	return orgs, rows.Err()
}

// Key is an API key of an organization, without the key itself.
type Key struct {
	ID        string
	Org       string
	Name      string
	Hint      string // its last four characters
	CreatedAt time.Time
	RevokedAt time.Time // zero while it works
	// MonthlyCap is the most that its batches and lookups may be charged in a
	// calendar month (UTC); 0: no cap.
	MonthlyCap lookup.Credits
}

// NewSecret makes the text of a key: the prefix and 160 random bits.
func NewSecret(prefix string) string {
	var b [20]byte
	_, _ = rand.Read(b[:])
	return prefix + idAlphabet.EncodeToString(b[:])
}

// HashSecret is the form in which a key is stored. A key is 160 random bits, so
// a plain hash cannot be reversed by guessing.
func HashSecret(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// CreateKey stores a key by its hash, with the most that it may be charged in a
// month (0: no cap). The organization must exist. Storing the same secret for the
// same organization again returns the key that is there.
func (d *DB) CreateKey(ctx context.Context, org, name, secret string, monthlyCap lookup.Credits, now time.Time) (Key, error) {
	key := Key{
		ID: NewID("key", now), Org: org, Name: name, Hint: secret[max(0, len(secret)-4):],
		CreatedAt: now.UTC().Truncate(time.Millisecond), MonthlyCap: monthlyCap,
	}
	err := d.Write(ctx, func(tx *Tx) error {
		var there string
		if err := tx.QueryRowContext(ctx, `SELECT id FROM orgs WHERE id = ?`, org).Scan(&there); err != nil {
			return notFound(err)
		}
		return exec(ctx, tx, 1, `INSERT INTO api_keys (id, org, name, hash, hint, created_at, monthly_cap) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			key.ID, org, name, HashSecret(secret), key.Hint, millis(now), monthlyCap)
	})
	if err != nil && d.dialect.unique(err) {
		known, lookupErr := d.KeyBySecret(ctx, secret)
		if lookupErr == nil && known.Org == org {
			return known, nil
		}
		err = ErrConflict
	}
	if err != nil {
		return Key{}, fmt.Errorf("store: create key: %w", err)
	}
	return key, nil
}

// KeyBySecret returns the key that a caller showed, or [ErrNotFound] if there
// is none or it was revoked.
func (d *DB) KeyBySecret(ctx context.Context, secret string) (Key, error) {
	keys, err := d.keys(ctx, `hash = ? AND revoked_at IS NULL`, HashSecret(secret))
	if err == nil && len(keys) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Key{}, fmt.Errorf("store: key: %w", err)
	}
	return keys[0], nil
}

// Keys lists an organization's keys, revoked ones too.
func (d *DB) Keys(ctx context.Context, org string) ([]Key, error) {
	keys, err := d.keys(ctx, `org = ?`, org)
	if err != nil {
		return nil, fmt.Errorf("store: keys: %w", err)
	}
	return keys, nil
}

func (d *DB) keys(ctx context.Context, where string, arg any) ([]Key, error) {
	rows, err := d.QueryContext(ctx, `SELECT id, org, name, hint, created_at, COALESCE(revoked_at, 0), monthly_cap FROM api_keys WHERE `+where+` ORDER BY id`, arg)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var keys []Key
	for rows.Next() {
		var k Key
		var created, revoked int64
		if err := rows.Scan(&k.ID, &k.Org, &k.Name, &k.Hint, &created, &revoked, &k.MonthlyCap); err != nil {
			return nil, err
		}
		k.CreatedAt, k.RevokedAt = fromMillis(created), fromMillis(revoked)
		keys = append(keys, k)
	}
	return keys, rows.Err()
}

// SetKeyCap sets the most that a key may be charged in a month; 0 takes the cap
// away. It holds from the next round or lookup on. Errors: [ErrNotFound].
func (d *DB) SetKeyCap(ctx context.Context, org, id string, monthlyCap lookup.Credits) (Key, error) {
	err := d.Write(ctx, func(tx *Tx) error {
		return exec(ctx, tx, 1, `UPDATE api_keys SET monthly_cap = ? WHERE id = ? AND org = ?`, monthlyCap, id, org)
	})
	if errors.Is(err, ErrConflict) {
		err = ErrNotFound
	}
	if err != nil {
		return Key{}, fmt.Errorf("store: cap of a key: %w", err)
	}
	keys, err := d.keys(ctx, `id = ?`, id)
	if err == nil && len(keys) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Key{}, fmt.Errorf("store: cap of a key: %w", err)
	}
	return keys[0], nil
}

// RevokeKey ends a key for good. Revoking it again is no error.
func (d *DB) RevokeKey(ctx context.Context, org, id string, now time.Time) error {
	err := d.Write(ctx, func(tx *Tx) error {
		return exec(ctx, tx, 1, `UPDATE api_keys SET revoked_at = COALESCE(revoked_at, ?) WHERE id = ? AND org = ?`, millis(now), id, org)
	})
	if errors.Is(err, ErrConflict) {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("store: revoke key: %w", err)
	}
	return nil
}
