package store

// Batch is the batch as far as it was uploaded.
func (u *Upload) Batch() Batch { return u.batch }
