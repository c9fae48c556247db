package lookup

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Fold returns a name or title in the form in which two spellings are equal:
// lower case, no accents, plain apostrophes and hyphens, single spaces.
func Fold(s string) string {
	s = strings.ToLower(s)
	if !isASCII(s) {
		s = norm.NFC.String(letters.Replace(strings.Map(plain, norm.NFD.String(s))))
	}
	s = strings.ReplaceAll(s, "`", "'")
	if oneSpaced(s) {
		return s
	}
	return strings.Join(strings.Fields(s), " ")
}

// oneSpaced reports whether the only white space in s is single spaces between
// words.
func oneSpaced(s string) bool {
	space := true
	for i := range len(s) {
		if c := s[i]; c == ' ' && !space {
			space = true
		} else if c <= ' ' || c >= utf8.RuneSelf {
			return false
		} else {
			space = false
		}
	}
	return !space || s == ""
}

// letters maps what decomposition leaves whole to the usual spelling.
var letters = strings.NewReplacer(
	"ß", "ss", "ø", "o", "ł", "l", "æ", "ae", "œ", "oe", "đ", "d", "ð", "d", "þ", "th", "ı", "i", "ς", "σ",
)

// plain drops accents and invisible characters. Other marks stay: in many
// scripts they are vowels, and without them two names would be one.
func plain(r rune) rune {
	switch {
	case r >= 0x300 && r <= 0x36f, unicode.Is(unicode.Cf, r):
		return -1
	case strings.ContainsRune("’‘ʼ´′", r):
		return '\''
	case unicode.Is(unicode.Pd, r):
		return '-'
	}
	return r
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// named returns s, or "" where it holds no letter ("-", "?", "123").
func named(s string) string {
	if !strings.ContainsFunc(s, unicode.IsLetter) {
		return ""
	}
	return s
}

// degrees follow a name after a comma without being part of it.
var degrees = []string{"jr", "sr", "ii", "iii", "iv", "phd", "md", "mba", "cpa", "cfa", "esq", "pmp", "msc", "bsc", "ma"}

// givenNameFirst turns "doe, jane" into "jane doe", and "jane doe, phd" and
// "jane - doe (2)" into "jane doe".
func givenNameFirst(folded string) string {
	parts := strings.Split(folded, ",")
	for len(parts) > 1 {
		last := strings.TrimSpace(strings.ReplaceAll(parts[len(parts)-1], ".", ""))
		if last != "" && !slices.Contains(degrees, last) {
			break
		}
		parts = parts[:len(parts)-1]
	}
	if len(parts) == 2 {
		parts[0], parts[1] = parts[1], parts[0]
	}
	words := slices.DeleteFunc(strings.Fields(strings.Join(parts, " ")), func(word string) bool { return named(word) == "" })
	return strings.Join(words, " ")
}
