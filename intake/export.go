package intake

import "strings"

// Defuse returns a cell as it may stand in a CSV or XLSX file. What a
// spreadsheet would run as a formula (a cell that begins with "=", "@", tab,
// carriage return, "+" or "-") gets a leading apostrophe, unless it is only a
// number or a phone number.
func Defuse(cell string) string {
	if cell == "" {
		return cell
	}
	switch cell[0] {
	case '=', '@', '\t', '\r':
		return "'" + cell
	case '+', '-':
		if !isNumber(cell[1:]) && (cell[0] == '-' || !isPhone(cell[1:])) {
			return "'" + cell
		}
	}
	return cell
}

// isNumber reports whether s, behind its sign, is digits with points or commas
// between them, perhaps with an exponent or a per cent sign.
func isNumber(s string) bool {
	s = strings.TrimSuffix(s, "%")
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		exponent := s[i+1:]
		if strings.HasPrefix(exponent, "+") || strings.HasPrefix(exponent, "-") {
			exponent = exponent[1:]
		}
		if exponent == "" || !only(exponent, digits) {
			return false
		}
		s = s[:i]
	}
	return strings.Trim(s, ".,") != "" && only(s, digits+".,")
}

// isPhone reports whether s, behind its "+", is written like an international
// number: five to fifteen digits, with spaces and the usual punctuation, of which
// a spreadsheet could make a sum at worst.
func isPhone(s string) bool {
	count := 0
	for _, r := range s {
		if r >= '0' && r <= '9' {
			count++
		}
	}
	return count >= 5 && count <= 15 && only(s, digits+" .-/()")
}

const digits = "0123456789"

func only(s, set string) bool { return strings.Trim(s, set) == "" }
