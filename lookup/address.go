package lookup

import (
	"net/url"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// Domain returns the normal form of a domain written in any way people write
// one ("https://www.Bücher.example/shop?x=1" is "xn--bcher-kva.example"), and
// whether it is one: at least two labels, no address of a machine.
func Domain(s string) (string, bool) {
	if isDomain(s) {
		return s, true
	}
	s = strings.TrimSpace(s)
	if i := strings.Index(s, "//"); i >= 0 {
		s = s[i+2:]
	}
	if i := strings.IndexAny(s, "/?#"); i >= 0 {
		s = s[:i]
	}
	if _, host, ok := cutLast(s, "@"); ok {
		s = host
	}
	if host, port, ok := cutLast(s, ":"); ok && onlyDigits(port) {
		s = host
	}
	host, ok := hostname(s)
	for ok {
		rest, found := strings.CutPrefix(host, "www.")
		if !found || !strings.Contains(rest, ".") {
			break
		}
		host = rest
	}
	return host, ok
}

// isDomain reports whether s is a domain in normal form that shows at a glance.
// Most are: what it does not recognise goes the long way.
func isDomain(s string) bool {
	if len(s) > 253 || strings.HasPrefix(s, "www.") {
		return false
	}
	label, digits := 0, true // of the label being read: its length, whether all are digits
	dot := false
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z':
			label, digits = label+1, false
		case '0' <= c && c <= '9':
			label++
		case c == '-':
			if label == 0 || i+1 == len(s) || s[i+1] == '-' || s[i+1] == '.' {
				return false
			}
			label, digits = label+1, false
		case c == '.' && label > 0 && label <= 63:
			dot, label, digits = true, 0, true
		default:
			return false
		}
	}
	return dot && label > 1 && label <= 63 && !digits
}

// hostname returns the ASCII form of a bare host name, and whether it is one.
func hostname(s string) (string, bool) {
	s, err := idna.Lookup.ToASCII(strings.ToLower(strings.TrimSpace(s)))
	s = strings.TrimSuffix(s, ".")
	if err != nil || len(s) > 253 || !strings.Contains(s, ".") {
		return "", false
	}
	labels := strings.Split(s, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return "", false
		}
	}
	// The last label of an IP address is a number, that of initials ("J.P") a
	// letter.
	if top := labels[len(labels)-1]; len(top) < 2 || onlyDigits(top) {
		return "", false
	}
	return s, true
}

func replaceDomain(f Fields, field string) error {
	given := f[field]
	if given == "" {
		return nil
	}
	domain, ok := Domain(given)
	if !ok {
		return &InputError{field, "invalid_domain", "this is not a domain; write it like example.com"}
	}
	if domain != given {
		f[field] = domain
	}
	return nil
}

// replaceEmail also reads "mailto:" links and "Jane Doe <jane@example.com>".
func replaceEmail(f Fields, field string) error {
	address := f[field]
	if before, ok := strings.CutSuffix(address, ">"); ok {
		if _, inner, ok := cutLast(before, "<"); ok {
			address = inner
		}
	}
	if len(address) > 7 && strings.EqualFold(address[:7], "mailto:") {
		address = address[7:]
	}
	local, domain, ok := cutLast(strings.TrimSpace(address), "@")
	if ok {
		domain, ok = hostname(domain)
	}
	if !ok || local == "" || strings.ContainsAny(local, "<>,;:@") || strings.ContainsFunc(local, unprintable) {
		return &InputError{field, "invalid_email", "this is not an email address; write it like name@example.com"}
	}
	f[field] = strings.ToLower(norm.NFC.String(local)) + "@" + domain
	return nil
}

func unprintable(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }

// replaceURL keeps what says whose page it is: the host without "www.", the
// path, and a numeric or named "id". Scheme, tracking and a trailing slash go.
func replaceURL(f Fields, field string) error {
	raw := strings.TrimSpace(f[field])
	if !strings.Contains(raw, "://") {
		raw = "https://" + strings.TrimLeft(raw, "/")
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return &InputError{field, "invalid_url", "this is not the address of a page; write it like https://www.linkedin.com/in/name"}
	}
	host, ok := Domain(u.Host)
	if !ok {
		return &InputError{field, "invalid_url", "the address has no usable host; write it like https://www.linkedin.com/in/name"}
	}
	segments := strings.FieldsFunc(u.Path, func(r rune) bool { return r == '/' })
	if host == "linkedin.com" || strings.HasSuffix(host, ".linkedin.com") {
		host, segments = "linkedin.com", linkedInSegments(segments)
	}
	if len(segments) == 0 {
		return &InputError{field, "invalid_url", "the address is that of a whole site; give the page of one profile"}
	}
	for i, segment := range segments {
		segments[i] = url.PathEscape(lowerSegment(segment))
	}
	f[field] = host + "/" + strings.Join(segments, "/")
	if id := u.Query().Get("id"); id != "" {
		f[field] += "?id=" + url.QueryEscape(id)
	}
	return nil
}

// linkedInSegments drops what LinkedIn appends to the address of a profile or
// a company ("/en", "/about", "/details/experience").
func linkedInSegments(segments []string) []string {
	if len(segments) < 2 {
		return segments
	}
	switch strings.ToLower(segments[0]) {
	case "in", "company", "school", "showcase":
		return segments[:2]
	}
	return segments
}

// lowerSegment folds case, except in LinkedIn's opaque member ids, where it
// matters.
func lowerSegment(s string) string {
	if strings.HasPrefix(s, "ACoAA") || strings.HasPrefix(s, "ACwAA") {
		return s
	}
	return strings.ToLower(norm.NFC.String(strings.ToValidUTF8(s, "\uFFFD")))
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
