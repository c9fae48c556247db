package store

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"
)

var idAlphabet = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID returns a fresh id such as "bat_06dk…": the prefix, then the time in
// milliseconds and 80 random bits, so that ids sort by age.
func NewID(prefix string, now time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16)
	// crypto/rand.Read never fails: it ends the program instead.
	_, _ = rand.Read(b[6:])
	return prefix + "_" + idAlphabet.EncodeToString(b[:])
}

// Round names one round of one chunk. Its text is the id of the hold, of the
// Asynq task and of the closing.
type Round struct {
	Batch string
	Chunk int64
	Round int64
}

// String is "batch:chunk:round".
func (r Round) String() string {
	return r.Batch + ":" + strconv.FormatInt(r.Chunk, 10) + ":" + strconv.FormatInt(r.Round, 10)
}

// ParseRound reads what [Round.String] wrote. A single lookup's hold is no
// round.
func ParseRound(s string) (Round, error) {
	parts := strings.Split(s, ":")
	if len(parts) != 3 || !strings.HasPrefix(parts[0], "bat_") {
		return Round{}, fmt.Errorf("store: %q is no round of a chunk", s)
	}
	chunk, err1 := strconv.ParseInt(parts[1], 10, 64)
	round, err2 := strconv.ParseInt(parts[2], 10, 64)
	if err1 != nil || err2 != nil {
		return Round{}, fmt.Errorf("store: %q is no round of a chunk", s)
	}
	return Round{Batch: parts[0], Chunk: chunk, Round: round}, nil
}

// LookupHold is the id of a single lookup's hold and closing.
func LookupHold(lookupID string) string { return "lookup:" + lookupID + ":0" }
