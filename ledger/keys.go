package ledger

import (
	"hash/crc32"
	"strconv"
	"strings"
)

// buckets is into how many slots of a Redis Cluster the accounts spread. One
// ZSET of deadlines a bucket lets a sweeper find every hold there is.
const buckets = 64

func bucketOf(org string) int {
	return int(crc32.ChecksumIEEE([]byte(org)) % buckets)
}

// tag is the hash tag that keeps all keys of a bucket in one slot.
func tag(bucket int) string { return "{magpie:" + strconv.Itoa(bucket) + "}" }

func accountKey(org string) string         { return tag(bucketOf(org)) + ":account:" + org }
func scopesKey(org string) string          { return tag(bucketOf(org)) + ":scopes:" + org }
func holdKey(org, id string) string        { return tag(bucketOf(org)) + ":hold:" + org + ":" + id }
func deadlinesKey(bucket int) string       { return tag(bucket) + ":deadlines" }
func deadlineMember(org, id string) string { return org + " " + id }

func parseDeadlineMember(member string) (org, id string, ok bool) {
	return strings.Cut(member, " ")
}
