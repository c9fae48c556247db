package store

import "database/sql"

// Batch is the batch as far as it was uploaded.
func (u *Upload) Batch() Batch { return u.batch }

// Tenants are the connections that see nothing before they say whose they are.
func (d *DB) Tenants() *sql.DB { return d.tenants }

// Behind is the database of a tenant, whose calls can be given any organization.
func (t *Tenant) Behind() *DB { return t.db }

// Waiting is how many writes wait for a transaction to share.
func (d *DB) Waiting() int {
	d.groups.mu.Lock()
	defer d.groups.mu.Unlock()
	return len(d.groups.waiting)
}

// GroupLanes is how many shared transactions a process has under way.
const GroupLanes = groupLanes
