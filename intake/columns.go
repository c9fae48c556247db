package intake

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/magpie-hq/magpie/lookup"
)

// rowIDField is what the customer calls a row; it can be mapped like a field
// of the query.
const rowIDField = "row_id"

// matcher finds the columns that a service's query needs.
type matcher struct {
	service lookup.Service
	mapping map[string]string
}

// newMatcher refuses an unknown service and a mapping of fields that the
// service has not.
func newMatcher(o Options) (matcher, error) {
	if _, err := lookup.ParseService(string(o.Service)); err != nil {
		return matcher{}, &Error{"service", CodeInvalid, err.Error()}
	}
	fields := slices.Concat(o.Service.QueryFields(), []string{rowIDField})
	for _, field := range slices.Sorted(maps.Keys(o.Mapping)) {
		if !slices.Contains(fields, field) {
			return matcher{}, &Error{"mapping." + clip(field), CodeInvalid,
				fmt.Sprintf("%s has no such field; want one of %s", o.Service, strings.Join(fields, ", "))}
		}
	}
	return matcher{o.Service, o.Mapping}, nil
}

// match returns the column of each field that it finds. The customer's mapping
// goes first; of the other columns each serves one field at most, and of two
// with the same name the first.
func (m matcher) match(columns []string) map[string]int {
	found, taken := map[string]int{}, map[int]bool{}
	index := nameIndex(columns)
	for field, column := range m.mapping {
		i := slices.Index(columns, column)
		if byName, ok := index[nameKey(column)]; i < 0 && ok {
			i = byName
		}
		if i >= 0 {
			found[field], taken[i] = i, true
		}
	}
	for _, field := range append([]string{rowIDField}, m.service.QueryFields()...) {
		if _, ok := m.mapping[field]; ok {
			continue
		}
		for _, name := range synonyms(m.service, field) {
			if i, ok := index[name]; ok && !taken[i] {
				found[field], taken[i] = i, true
				break
			}
		}
		if field == "last_name" {
			m.unpair(found, taken)
		}
	}
	return found
}

// nameIndex returns the first column of each name. "Contact email" is an email
// too, unless another column is called just that.
func nameIndex(columns []string) map[string]int {
	keys := make([]string, len(columns))
	for i, column := range columns {
		keys[i] = nameKey(column)
	}
	index := make(map[string]int, len(columns))
	for _, prefix := range []string{"", "contact", "person"} {
		for i, key := range keys {
			name, ok := strings.CutPrefix(key, prefix)
			if _, known := index[name]; ok && !known && name != "" {
				index[name] = i
			}
		}
	}
	return index
}

// unpair gives up half a name, so that "Name" or "Nombre" alone can be a full
// name, while beside "Vorname" or "Apellidos" it is the other half.
func (m matcher) unpair(found map[string]int, taken map[int]bool) {
	_, first := found["first_name"]
	_, last := found["last_name"]
	if first && last {
		return
	}
	for _, field := range []string{"first_name", "last_name"} {
		i, ok := found[field]
		if _, wanted := m.mapping[field]; ok && !wanted {
			delete(found, field)
			delete(taken, i)
		}
	}
}

// nameKey is a column's name as it is compared: without case, accents, spaces
// and punctuation.
func nameKey(column string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, lookup.Fold(column))
}

// check says which column of the mapping is missing, or that no query can be
// made of the columns.
func (m matcher) check(found map[string]int, columns []string, param string) error {
	for _, field := range slices.Sorted(maps.Keys(m.mapping)) {
		if _, ok := found[field]; !ok {
			return &Error{"mapping." + field, CodeInvalid,
				fmt.Sprintf("there is no column %q; the columns are %s", clip(m.mapping[field]), list(columns))}
		}
	}
	ok, needs := m.service.Usable(slices.Collect(maps.Keys(found)))
	if ok {
		return nil
	}
	return &Error{param, CodeInvalid, fmt.Sprintf("no usable column: %s needs %s; the columns are %s. Rename them, or say with mapping which is which",
		m.service, needs, list(columns))}
}

// list writes the first columns for an error message. What looks like data
// rather than a name stays out of it: the header may be missing.
func list(columns []string) string {
	const most = 20
	var b strings.Builder
	for i, column := range columns {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(columns)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		if looksLikeData(column) {
			b.WriteString("(no name but data: is the header line missing?)")
		} else {
			fmt.Fprintf(&b, "%q", clip(column))
		}
	}
	if len(columns) == 0 {
		return "none"
	}
	return b.String()
}

func looksLikeData(column string) bool {
	digits := len(strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return '0'
		}
		return -1
	}, column))
	return digits >= 5 || strings.ContainsAny(column, "@{")
}

func clip(s string) string {
	const most = 40
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
